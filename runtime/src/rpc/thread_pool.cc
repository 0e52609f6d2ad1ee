#include "rpc/thread_pool.h"

#include <exception>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "base/clock.h"

namespace nearcall::rpc {

namespace {

// Long against the pauses of a busy server, short against a person.
constexpr absl::Duration kLinger = absl::Seconds(10);

}  // namespace

ThreadPool::~ThreadPool() {
  Join();
}

bool ThreadPool::TryRun(Task task) try {
  base::MutexLock lock(mutex_);
  if (idle_ <= tasks_.size()) {
    if (threads_ == max_threads_) return false;
    // Detached, but counted: Join() waits until each has said its last word.
    std::thread([this] { ThreadMain(); }).detach();
    ++threads_;
    ++idle_;
  }
  tasks_.push_back(std::move(task));
  something_.NotifyOne();
  return true;
} catch (const std::exception&) {  // no thread, or no memory for one
  return false;
}

void ThreadPool::ThreadMain() {
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
  if (tasks_.empty()) {
    if (--threads_ == 0) gone_.NotifyAll();
    return false;
  }
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
