// SPDX-License-Identifier: Apache-2.0
#include "session/pulse.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace nearcall::session {

namespace {

// A pong takes microseconds; this may be what the scheduler takes.
constexpr int64_t kSilenceNs = 100'000'000;

std::string Text(int64_t ns) {
  return absl::FormatDuration(absl::Trunc(absl::Nanoseconds(ns), absl::Milliseconds(1)));
}

}  // namespace

uint64_t Pulse::Ping(base::SteadyNs now) {
  unanswered_since_ = now;
  return ++sent_;
}

bool Pulse::Take(const transport::ControlMessage& pong, base::SteadyNs now) {
  if (!waits() || pong.call_id != sent_) return false;
  unanswered_since_ = 0;
  answered_at_ = now;
  if (progress_since_ == 0 || pong.progress != progress_) progress_since_ = now;
  progress_ = pong.progress;
  return true;
}

std::string Pulse::Told(base::SteadyNs since, base::SteadyNs now) const {
  if (waits() && now - unanswered_since_ >= kSilenceNs) {
    return absl::StrCat("; the server has not answered a ping for ", Text(now - unanswered_since_));
  }
  if (answered_at_ <= since) return "";
  std::string text = absl::StrCat("; the server is alive (it answered a ping ", Text(now - answered_at_), " ago)");
  if (!progress_.has_value()) return text;
  absl::StrAppend(&text, ", handlers running: ", progress_->handlers_running);
  if (progress_since_ == answered_at_) return absl::StrCat(text, ", others begin and end");
  return absl::StrCat(text, ", none has begun or ended for ", Text(answered_at_ - progress_since_));
}

}  // namespace nearcall::session
