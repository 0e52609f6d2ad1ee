// SPDX-License-Identifier: Apache-2.0
#include "base/closer.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "base/fork.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/thread.h"

namespace nearcall::base {

namespace {

// What one process has to close, and the threads that do it. A forked child makes another one: in the one that it
// inherited the mutex may be held by a thread that does not exist there.
class Closer {
 public:
  explicit Closer(const Closer* parents) : inherited_(parents) {}

  bool InChild() const { return fork_guard_.InChild(); }

  // False: too many wait.
  bool Add(Fd& fd) {
    MutexLock lock(mutex_);
    if (waiting_ == fds_.size()) return false;
    fds_[(first_ + waiting_++) % fds_.size()] = fd.Release();
    // One that is not stuck would do; but which are, nobody knows.
    if (waiting_ > threads_ - closing_ && threads_ < kMaxClosers && StartThread()) ++threads_;
    return true;
  }

 private:
  // Without a thread the next Add() tries again.
  bool StartThread() {
    Thread thread;
    if (!thread.Start("nearcall-close", kOwnStack, [this] { Run(); }).ok()) return false;
    thread.Detach();
    return true;
  }

  void Run() {
    for (;;) {
      Fd fd = Next();
      if (!fd.valid()) return;
      fd.Reset();
      MutexLock lock(mutex_);
      --closing_;
    }
  }

  // Not valid: there is none, and the calling thread is no longer counted.
  Fd Next() {
    MutexLock lock(mutex_);
    if (waiting_ == 0) {
      --threads_;
      return Fd();
    }
    const int fd = fds_[first_];
    first_ = (first_ + 1) % fds_.size();
    --waiting_;
    ++closing_;
    return Fd(fd);
  }

  const ForkGuard fork_guard_;
  [[maybe_unused]] const Closer* const inherited_;  // keeps it reachable; never touched

  Mutex mutex_;
  std::array<int, kMaxUnclosed> fds_ ABSL_GUARDED_BY(mutex_){};  // a ring: nothing is allocated by who must not fail
  size_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t threads_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t closing_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that are in close(2), perhaps for good
};

// Never destroyed: its threads may outlive every destructor of a static object.
std::atomic<Closer*> current_closer{nullptr};

// Null: there is no memory for one.
Closer* ThisProcess() {
  Closer* closer = current_closer.load(std::memory_order_acquire);
  while (closer == nullptr || closer->InChild()) {
    std::unique_ptr<Closer> made(new (std::nothrow) Closer(closer));
    if (made == nullptr) return nullptr;
    if (current_closer.compare_exchange_strong(closer, made.get(), std::memory_order_acq_rel)) return made.release();
  }
  return closer;
}

}  // namespace

void CloseElsewhere(Fd fd) {
  if (!fd.valid()) return;
  Closer* const closer = ThisProcess();
  if (closer != nullptr && closer->Add(fd)) return;
  // Open for good: better than to wait here.
  static_cast<void>(fd.Release());
}

}  // namespace nearcall::base
