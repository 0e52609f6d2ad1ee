// SPDX-License-Identifier: Apache-2.0
#include "session/keepalive.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/no_memory.h"

namespace nearcall::session {

namespace {

using transport::ControlMessage;

// A timer that is as late as this says that this process did not run either: it was stopped, or got no CPU.
constexpr int64_t kLateNs = 50'000'000;

}  // namespace

void Keepalive::Start(std::weak_ptr<const void> owner) {
  owner_ = std::move(owner);
  base::MutexLock lock(mutex_);
  Arm(base::AddNs(base::NowNs(), times_.interval_ns));
}

// Called where control messages are heard, but for the first time: there the former timer ends without waiting.
void Keepalive::Arm(base::SteadyNs when) {
  const auto run = [this, when, owner = owner_] {
    if (const auto alive = owner.lock()) OnTimer(when);
  };
  absl::StatusOr<std::unique_ptr<transport::Timer>> timer;
  base::UntilThereIsMemory([&] { timer = transport::StartTimer(when, run, reactor_); });
  // It cannot fail: the connection keeps the monitor alive.
  if (timer.ok()) timer_ = *std::move(timer);
}

void Keepalive::OnTimer(base::SteadyNs due) {
  const base::SteadyNs now = base::NowNs();
  if (end_.dead()) return;
  const bool is_wanted = times_.without_calls || callers_.slots().in_use != 0;
  const uint64_t taken = receiver_.times_taken();
  ControlMessage ping{.kind = ControlMessage::Kind::kPing};
  bool is_silent;
  {
    base::MutexLock lock(mutex_);
    // Whoever sends frames lives. What this process has slept through itself is not the server's silence.
    is_silent = pulse_.waits() && taken == taken_at_ping_ && now - due < kLateNs;
    if (!is_silent && !pulse_.waits() && !is_wanted) return Arm(base::AddNs(now, times_.interval_ns));
    if (!is_silent) {
      taken_at_ping_ = taken;
      ping.call_id = pulse_.Ping(now);
      Arm(base::AddNs(now, times_.timeout_ns));
    }
  }
  if (is_silent) return GiveUp();
  end_.control()->Send(ping);
}

void Keepalive::OnPong(const ControlMessage& pong) {
  const base::SteadyNs now = base::NowNs();
  base::MutexLock lock(mutex_);
  if (pulse_.Take(pong, now)) Arm(base::AddNs(now, times_.interval_ns));
}

void Keepalive::GiveUp() {
  base::UntilThereIsMemory([this] {
    end_.GiveUp(absl::StrCat(end_.server().Text(), " has not answered a ping for ",
                             absl::FormatDuration(absl::Nanoseconds(times_.timeout_ns)),
                             ": it is stopped, or does not get on; the connection is closed"));
  });
  callers_.InterruptReader();
}

std::string Keepalive::Told(base::SteadyNs since) {
  base::MutexLock lock(mutex_);
  return pulse_.Told(since, base::NowNs());
}

}  // namespace nearcall::session
