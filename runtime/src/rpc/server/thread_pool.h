// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/fork.h"
#include "base/mutex.h"
#include "base/thread.h"

namespace nearcall::rpc {

// Threads that are made when there is something to run, and end when there has been nothing for a while. A task may end
// its thread (pthread_exit(3)): that is the end of the task too. Thread-safe.
class ThreadPool {
 public:
  using Task = std::function<void()>;

  explicit ThreadPool(size_t max_threads, size_t stack_size = base::Thread::StackFor(0))
      : max_threads_(max_threads), stack_size_(stack_size) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  // Join().
  ~ThreadPool();

  // Runs `task` on a thread that is idle or new. RESOURCE_EXHAUSTED, and `task` is not run: no thread can be had now
  // (max_threads, or the system's limit, which is named).
  absl::Status TryRun(Task task);

  // The same, by a task that is ending its thread: of whose place there is another then.
  absl::Status TryRunInstead(Task task);

  // Whether the caller is one of its threads.
  bool OnItsThread() const { return current == this; }

  // Waits until all tasks have ended and all threads are gone. Nothing may be run afterwards. Not from a task.
  void Join();

  size_t threads() const;

 private:
  class Presence;

  absl::Status TryRunAmong(size_t max_threads, Task task);
  void ThreadMain();
  bool NextTask(Task& task);

  // Whose thread this is.
  static inline thread_local const ThreadPool* current = nullptr;

  const size_t max_threads_;
  const size_t stack_size_;
  const base::ForkGuard fork_guard_;
  mutable base::Mutex mutex_;
  base::CondVar something_;  // a task, or joining_
  base::CondVar gone_;       // threads_ is 0
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  size_t threads_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t idle_ ABSL_GUARDED_BY(mutex_) = 0;
  bool joining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::rpc
