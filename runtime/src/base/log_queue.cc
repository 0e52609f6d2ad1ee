// SPDX-License-Identifier: Apache-2.0
#include "base/log_queue.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/standard_error.h"

namespace nearcall::base {

LogQueue::LogQueue(LogSink sink, Reactor* reactor)
    : thread_(std::make_shared<UserThreads>("nearcall-log", 1, 0, reactor)),
      sink_(std::move(sink)),
      give_up_at_(reactor == nullptr ? kNever : 0) {}

bool LogQueue::TryAdd(LogSeverity severity, std::string line) {
  MutexLock lock(mutex_);
  if (closed_ || lines_.size() == kMaxQueuedLogLines) return false;
  try {
    lines_.push_back({severity, std::move(line)});
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (self_ == nullptr) {
    self_ = shared_from_this();
    thread_->Post(*this);
  }
  return true;
}

void LogQueue::Run() {
  std::shared_ptr<LogQueue> self;  // given up last
  LogSink sink;
  MutexLock lock(mutex_);
  while (!lines_.empty()) {
    const Line line = std::move(lines_.front());
    lines_.pop_front();
    mutex_.Unlock();
    Deliver(line);
    mutex_.Lock();
  }
  // Closed from within the sink: what that owns ends here, and not on whichever thread lets go last.
  if (closed_) sink = std::exchange(sink_, nullptr);
  self = std::move(self_);
  delivered_.NotifyAll();
}

void LogQueue::Deliver(const Line& line) {
  if (sink_) {
    sink_(line.severity, line.text);
  } else {
    WriteToStandardError(line);
  }
}

void LogQueue::WriteToStandardError(const Line& line) try {
  static constexpr const char* kNames[] = {"info", "warning", "error"};
  std::string text = absl::StrCat("nearcall: ", kNames[static_cast<int>(line.severity)], ": ", line.text);
  text.resize(std::min(text.size(), kMaxLogLineSize - 1));
  text += '\n';
  while (!StandardError::TryWrite(text) && MayWait()) StandardError::WaitForRoom();
} catch (const std::bad_alloc&) {
  // A line is lost.
}

bool LogQueue::MayWait() {
  MutexLock lock(mutex_);
  return NowNs() < give_up_at_;
}

void LogQueue::Flush(SteadyNs until) {
  thread_->RunHere();
  MutexLock lock(mutex_);
  while (self_ != nullptr && NowNs() < until) delivered_.WaitUntil(mutex_, until);
}

void LogQueue::Close() {
  const SteadyNs until = AddNs(NowNs(), kLogFlushNs);
  {
    MutexLock lock(mutex_);
    give_up_at_ = std::min(give_up_at_, until);
  }
  if (!thread_->IsCurrent()) Flush(until);
  {
    MutexLock lock(mutex_);
    closed_ = true;
    lines_.clear();
  }
  thread_->Join();
  if (!thread_->IsCurrent()) sink_ = nullptr;
}

}  // namespace nearcall::base
