// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/fork.h"

namespace nearcall::base {

// std::mutex with clang's thread-safety annotations. Not absl::Mutex: the distribution's Abseil is built without
// ThreadSanitizer, which therefore cannot see its locks and reports a race for everything that they guard.
class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Always wait in a loop that looks at the condition again. A fork()ed child may destroy one that threads of its parent
// waited for (pthread_cond_destroy(3) would wait for them for ever).
class CondVar {
 public:
  CondVar() : condition_(std::make_unique<std::condition_variable>()) {}
  ~CondVar() {
    if (fork_guard_.InChild()) static_cast<void>(condition_.release());
  }

  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_->wait(lock);
    lock.release();
  }
  // Returns at `until`, too.
  void WaitUntil(Mutex& mutex, SteadyNs until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (until == kNever) return Wait(mutex);
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_->wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(until)));
    lock.release();
  }
  void NotifyOne() { condition_->notify_one(); }
  void NotifyAll() { condition_->notify_all(); }

 private:
  const ForkGuard fork_guard_;
  std::unique_ptr<std::condition_variable> condition_;
};

}  // namespace nearcall::base
