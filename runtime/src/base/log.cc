// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace nearcall::base {

Logger::Logger(LogSink sink, Reactor* reactor) : queue_(std::make_shared<LogQueue>(std::move(sink), reactor)) {}

Logger::~Logger() {
  Close();
}

void Logger::Log(const LogTopic& topic, LogSeverity severity, absl::string_view line, SteadyNs now) {
  if (fork_guard_.InChild()) return;
  std::optional<uint64_t> left_out;
  {
    MutexLock lock(mutex_);
    left_out = rates_.TryTake(topic, now);
  }
  if (!left_out) return;
  const uint64_t missing = *left_out + lost_.exchange(0, std::memory_order_relaxed);
  try {
    std::string text =
        missing == 0 ? std::string(line) : absl::StrCat(line, " (", missing, " lines left out before this one)");
    if (queue_->TryAdd(severity, std::move(text))) return;
  } catch (const std::bad_alloc&) {
  }
  lost_.fetch_add(missing + 1, std::memory_order_relaxed);
}

void Logger::Flush() {
  if (!fork_guard_.InChild()) queue_->Flush(AddNs(NowNs(), kLogFlushNs));
}

void Logger::Close() {
  if (!fork_guard_.InChild()) queue_->Close();
}

}  // namespace nearcall::base
