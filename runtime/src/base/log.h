// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/log_queue.h"
#include "base/log_rates.h"
#include "base/mutex.h"
#include "nearcall/log.h"

namespace nearcall::base {

// Hands lines to the user's sink (or standard error), at most kMaxLogLinesPerSecond for each topic; says how many it
// left out. Whoever logs never waits: lines go by a bounded queue to a thread of its own.
//
// Thread-safe. In a fork()ed child it is silent.
class Logger {
 public:
  // `reactor`: in whose turns lines are delivered instead; outlives Close(); may be null.
  explicit Logger(LogSink sink = {}, Reactor* reactor = nullptr);
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;
  // Close().
  ~Logger();

  void Log(const LogTopic& topic, LogSeverity severity, absl::string_view line, SteadyNs now = NowNs());

  // Waits until what was logged before has been delivered, but not for ever. Not from within the sink.
  void Flush();

  // The same; then the sink is neither called nor running, unless this is called from within it. Its owner's last word:
  // sessions that the monitor still holds must not end the life of what the user's sink owns.
  void Close();

 private:
  const ForkGuard fork_guard_;
  const std::shared_ptr<LogQueue> queue_;
  std::atomic<uint64_t> lost_{0};  // did not get into the queue

  Mutex mutex_;
  LogRates rates_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::base
