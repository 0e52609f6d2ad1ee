// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/user_threads.h"
#include "nearcall/log.h"

namespace nearcall::base {

// Lines on their way to the user's sink, or to standard error: a thread of its own, which exists while there are any,
// delivers one after the other. A sink that blocks holds up that thread and nobody else. With a reactor they are
// delivered in its turns, which no full standard error holds up.
//
// Thread-safe. Owned by a Logger, and by itself while there is something to deliver.
class LogQueue final : public UserThreads::Task, public std::enable_shared_from_this<LogQueue> {
 public:
  // `reactor`: outlives Close(); may be null.
  explicit LogQueue(LogSink sink, Reactor* reactor = nullptr);
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Never blocks. False: it is left out.
  bool TryAdd(LogSeverity severity, std::string line);

  // Waits until all lines have been delivered, at most until `until`. Not for the sink itself.
  void Flush(SteadyNs until);

  // Flush(), for a while; then the sink is neither called nor running, nor does what it owns exist, unless this is
  // called from within it. Idempotent.
  void Close();

 private:
  struct Line {
    LogSeverity severity;
    std::string text;
  };

  void Run() override;
  void Deliver(const Line& line);
  void WriteToStandardError(const Line& line);
  bool MayWait();

  const std::shared_ptr<UserThreads> thread_;
  LogSink sink_;  // until Close()

  Mutex mutex_;
  CondVar delivered_;
  std::deque<Line> lines_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<LogQueue> self_ ABSL_GUARDED_BY(mutex_);  // while it runs, or is to run
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  SteadyNs give_up_at_ ABSL_GUARDED_BY(mutex_);  // waiting for room in standard error
};

}  // namespace nearcall::base
