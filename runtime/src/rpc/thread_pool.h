#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "base/fork.h"
#include "base/mutex.h"

namespace nearcall::rpc {

// Threads that are made when there is something to run, and end when there has been nothing for a while. Thread-safe.
class ThreadPool {
 public:
  using Task = std::function<void()>;

  explicit ThreadPool(size_t max_threads) : max_threads_(max_threads) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  // Join().
  ~ThreadPool();

  // Runs `task` on a thread that is idle or new. False, and `task` is not run: no thread can be had now (max_threads,
  // or the system's limit).
  bool TryRun(Task task);

  // Waits until all tasks have ended and all threads are gone. Nothing may be run afterwards. Not from a task.
  void Join();

  size_t threads() const;

 private:
  void ThreadMain();
  bool NextTask(Task& task);

  const size_t max_threads_;
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
