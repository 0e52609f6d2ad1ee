// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/thread_pool.h"

#include <utility>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/no_memory.h"

namespace nearcall::rpc {

namespace {

// Long against the pauses of a busy server, short against a person.
constexpr absl::Duration kLinger = absl::Seconds(10);

}  // namespace

ThreadPool::~ThreadPool() {
  Join();
}

// A thread, from its first to its last word, however it ends.
class ThreadPool::Presence {
 public:
  explicit Presence(ThreadPool& pool) : pool_(pool) { current = &pool; }
  ~Presence() {
    base::MutexLock lock(pool_.mutex_);
    if (--pool_.threads_ == 0) pool_.gone_.NotifyAll();
  }
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

 private:
  ThreadPool& pool_;
};

absl::Status ThreadPool::TryRun(Task task) {
  return TryRunAmong(max_threads_, std::move(task));
}

absl::Status ThreadPool::TryRunInstead(Task task) {
  return TryRunAmong(max_threads_ + 1, std::move(task));
}

absl::Status ThreadPool::TryRunAmong(size_t max_threads, Task task) {
  return base::OrNoMemory([&] {
    base::MutexLock lock(mutex_);
    if (idle_ <= tasks_.size()) {
      if (threads_ >= max_threads) return absl::ResourceExhaustedError("all threads are busy");
      base::Thread thread;
      absl::Status started = thread.Start("nearcall-serve", stack_size_, [this] { ThreadMain(); });
      if (!started.ok()) return started;
      // Detached, but counted: Join() waits until each has said its last word.
      thread.Detach();
      ++threads_;
      ++idle_;
    }
    tasks_.push_back(std::move(task));
    something_.NotifyOne();
    return absl::OkStatus();
  });
}

void ThreadPool::ThreadMain() {
  const Presence presence(*this);
  for (Task task; NextTask(task);) {
    task();
    task = nullptr;
    base::MutexLock lock(mutex_);
    ++idle_;
  }
}

bool ThreadPool::NextTask(Task& task) {
  base::MutexLock lock(mutex_);
  const base::SteadyNs until = base::AfterNow(kLinger);
  while (tasks_.empty() && !joining_ && base::NowNs() < until) something_.WaitUntil(mutex_, until);
  --idle_;
  if (tasks_.empty()) return false;
  task = std::move(tasks_.front());
  tasks_.pop_front();
  return true;
}

void ThreadPool::Join() {
  if (fork_guard_.InChild()) return;  // the threads are the parent's
  base::MutexLock lock(mutex_);
  joining_ = true;
  something_.NotifyAll();
  while (threads_ != 0) gone_.Wait(mutex_);
}

size_t ThreadPool::threads() const {
  base::MutexLock lock(mutex_);
  return threads_;
}

}  // namespace nearcall::rpc
