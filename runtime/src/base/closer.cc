// SPDX-License-Identifier: Apache-2.0
#include "base/closer.h"

#include <algorithm>
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
    StartThreadIfNeeded();
    return true;
  }

  void Add(Unclosed& unclosed) {
    MutexLock lock(mutex_);
    unclosed_.PushBack(unclosed);
    ++unclosed_waiting_;
    StartThreadIfNeeded();
  }

 private:
  // What a thread closes: one of both, or nothing.
  struct Work {
    Fd fd = {};
    std::unique_ptr<Unclosed> unclosed = {};
  };

  // One that is not stuck would do; but which are, nobody knows.
  void StartThreadIfNeeded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (waiting_ + unclosed_waiting_ > threads_ - closing_ && threads_ < kMaxClosers && StartThread()) ++threads_;
  }

  // Without a thread the next Add() tries again.
  bool StartThread() {
    Thread thread;
    if (!thread.Start("nearcall-close", kOwnStack, [this] { Run(); }).ok()) return false;
    thread.Detach();
    return true;
  }

  void Run() {
    for (;;) {
      Work work = Next();
      if (!work.fd.valid() && work.unclosed == nullptr) return;
      const void* const behalf = work.unclosed == nullptr ? nullptr : work.unclosed->on_behalf_of();
      work.fd.Reset();
      work.unclosed.reset();
      MutexLock lock(mutex_);
      --closing_;
      if (behalf != nullptr) *std::find(behalves_.begin(), behalves_.end(), behalf) = nullptr;
    }
  }

  // Nothing: there is none that may be closed now, and the calling thread is no longer counted.
  Work Next() {
    MutexLock lock(mutex_);
    Work work;
    if (waiting_ != 0) {
      work.fd = Fd(fds_[first_]);
      first_ = (first_ + 1) % fds_.size();
      --waiting_;
    } else {
      work.unclosed = NextUnclosed();
    }
    if (work.fd.valid() || work.unclosed != nullptr) {
      ++closing_;
    } else {
      --threads_;
    }
    return work;
  }

  // Of those whose turn it is, the one that has waited longest; null: there is none.
  std::unique_ptr<Unclosed> NextUnclosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Unclosed* next = nullptr;
    unclosed_.ForEachUntil([&](Unclosed& unclosed) ABSL_NO_THREAD_SAFETY_ANALYSIS {  // the lock is held
      if (MayHaveAnother(unclosed.on_behalf_of())) next = &unclosed;
      return next != nullptr;
    });
    if (next == nullptr) return nullptr;
    next->Unlink();
    --unclosed_waiting_;
    if (next->on_behalf_of() != nullptr) {
      *std::find(behalves_.begin(), behalves_.end(), nullptr) = next->on_behalf_of();
    }
    return std::unique_ptr<Unclosed>(next);
  }

  bool MayHaveAnother(const void* behalf) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return behalf == nullptr || std::count(behalves_.begin(), behalves_.end(), behalf) < kMaxClosersOnBehalf;
  }

  const ForkGuard fork_guard_;
  [[maybe_unused]] const Closer* const inherited_;  // keeps it reachable; never touched

  Mutex mutex_;
  std::array<int, kMaxUnclosed> fds_ ABSL_GUARDED_BY(mutex_){};  // a ring: nothing is allocated by who must not fail
  size_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  List<Unclosed> unclosed_ ABSL_GUARDED_BY(mutex_);  // owned
  size_t unclosed_waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  std::array<const void*, kMaxClosers> behalves_ ABSL_GUARDED_BY(mutex_){};  // of those that are being destroyed
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

void DestroyElsewhere(std::unique_ptr<Unclosed> unclosed) {
  if (unclosed == nullptr) return;
  Closer* const closer = ThisProcess();
  Unclosed* const released = unclosed.release();
  if (closer != nullptr) closer->Add(*released);
}

}  // namespace nearcall::base
