// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/children.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/limits.h"

namespace nearcall::rpc {

namespace {

constexpr int64_t kMinuteNs = 60'000'000'000;

}  // namespace

transport::Program ProgramOf(const std::string& path, const ExecOptions& options) {
  return {.path = path,
          .argv = options.argv,
          .env = options.env,
          .inherit_env = options.inherit_env,
          .cwd = options.cwd.value_or("")};
}

Children::Children(const std::string& path, const ExecOptions& options, base::Reactor* reactor)
    : program_(ProgramOf(path, options)),
      max_restarts_per_minute_(options.max_restarts_per_minute),
      reactor_(reactor),
      pauses_(std::min(base::kReconnectMinNs, absl::ToInt64Nanoseconds(options.max_pause)),
              absl::ToInt64Nanoseconds(options.max_pause)) {}

Children::~Children() {
  if (fork_guard_.InChild()) return;  // they are its brothers
  std::vector<std::shared_ptr<transport::Child>> children;
  {
    base::MutexLock lock(mutex_);
    children.swap(children_);
  }
  // All of them first: their times run together.
  for (const auto& child : children) child->Dismiss(transport::Child::Ask::kByHangUp);
  for (const auto& child : children) static_cast<void>(child->WaitUntilEnded());
}

absl::Status Children::CheckMayStart() const {
  base::MutexLock lock(mutex_);
  const base::SteadyNs now = base::NowNs();
  if (count_ == 0 || StartsSince(now - kMinuteNs) <= max_restarts_per_minute_) return absl::OkStatus();
  const std::string what = absl::StrCat(program_.path, " ", LastFate());
  if (max_restarts_per_minute_ == 0) {
    return absl::UnavailableError(
        absl::StrCat(what, ", and is not started again (ChannelOptions::exec.max_restarts_per_minute is 0)"));
  }
  const base::SteadyNs next = starts_[starts_.size() - max_restarts_per_minute_ - 1] + kMinuteNs;
  return absl::UnavailableError(
      absl::StrCat(what, ", and was started again ", max_restarts_per_minute_,
                   " times within a minute, as often as ChannelOptions::exec.max_restarts_per_minute allows; the next "
                   "time may be in ",
                   absl::FormatDuration(absl::Ceil(absl::Nanoseconds(next - now), absl::Seconds(1)))));
}

// With a limit of zero one start counts for ever.
size_t Children::StartsSince(base::SteadyNs when) const {
  if (max_restarts_per_minute_ == 0) return starts_.size();
  return static_cast<size_t>(starts_.end() - std::upper_bound(starts_.begin(), starts_.end(), when));
}

std::string Children::LastFate() const {
  const std::optional<std::string> fate = children_.empty() ? std::nullopt : children_.back()->Fate();
  return fate.value_or("has hung up");
}

base::SteadyNs Children::NextStart() {
  base::MutexLock lock(mutex_);
  if (starts_.empty()) return 0;
  if (base::NowNs() >= base::AddNs(starts_.back(), base::kStableChildNs)) {
    pauses_.Reset();
    return 0;
  }
  return base::AddNs(starts_.back(), pauses_.NextNs());
}

absl::StatusOr<transport::StartedServer> Children::Start() {
  absl::StatusOr<transport::StartedServer> server = transport::StartServer(program_, reactor_);
  if (!server.ok()) return server;
  base::MutexLock lock(mutex_);
  std::erase_if(children_, [](const auto& child) { return child->Fate().has_value(); });
  children_.push_back(server->child);
  starts_.push_back(base::NowNs());
  if (starts_.size() > max_restarts_per_minute_ + 1) starts_.pop_front();
  ++count_;
  return server;
}

std::string Children::DebugString() const {
  base::MutexLock lock(mutex_);
  if (count_ == 0) return absl::StrCat("; ", program_.path, " has not been started");
  const std::optional<std::string> fate = children_.back()->Fate();
  return absl::StrCat("; ", program_.path, " was started ", count_, count_ == 1 ? " time" : " times", ", pid ",
                      children_.back()->pid(), " ", fate.value_or("runs"));
}

}  // namespace nearcall::rpc
