// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/fork.h"
#include "base/mutex.h"
#include "base/reactor_targets.h"
#include "base/timers.h"

namespace nearcall::base {

// Descriptors that are watched, points in time, and work that is to be done soon, for one thread: whoever calls Turn()
// has his callbacks run there, one at a time and with no lock held. A thread of ours does that (transport::Monitor), or
// the user's (EventQueue): then fd() tells when.
//
// Everything but Turn() by any thread.
class Reactor : public std::enable_shared_from_this<Reactor> {
 public:
  using Id = uint64_t;  // of a target or timer; never used again

  using Target = ReactorTarget;

  static absl::StatusOr<std::shared_ptr<Reactor>> Create();
  Reactor(Fd epoll, Fd timer, Fd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)), timers_(std::move(timer)) {}
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // Readable while there is something to do for Turn().
  int fd() const { return epoll_.get(); }

  // Does what there is to do, once round, but runs at most `max` pieces of the user's code: how many it has run. Waits
  // for something if there is nothing, as epoll_wait(2) does with that timeout. One thread at a time (a CHECK); called
  // again from within, or in a forked child, it does nothing.
  size_t Turn(size_t max, int timeout_ms = 0);
  bool InChild() const { return fork_guard_.InChild(); }
  // Whether the calling thread is in Turn().
  bool IsCurrent() const;
  // The present or the next Turn() does not wait.
  void Wake();

  Id Add(const std::shared_ptr<Target>& target);
  // A target may have four descriptors, slots 0 to 3. Until Unwatch(), which comes before the descriptor is closed.
  absl::Status Watch(Id target, uint32_t slot, int fd, uint32_t events);
  void ChangeEvents(Id target, uint32_t slot, int fd, uint32_t events);
  void Unwatch(int fd);

  // The target has its OnTurn() soon; does nothing if it is going to, or has been removed. Never allocates.
  void Schedule(Id target);

  // Calls `callback` once, at `when`.
  Id AddTimer(SteadyNs when, std::function<void()> callback);

  // After this the target or timer is not called, and no call is running, unless this is called from within one.
  void Remove(Id id);

  // Lets go of all targets and timers.
  void Clear();

  // How many channels and servers need it.
  std::atomic<size_t> users{0};

 private:
  class InTurn;

  void Dispatch(const epoll_event& event);
  size_t RunScheduled(size_t max);
  void RunDueTimers();
  void EndCall();

  const ForkGuard fork_guard_;
  const Fd epoll_;
  const Fd wake_;
  std::atomic<bool> has_thread_{false};  // that is in Turn()

  Mutex mutex_;
  CondVar call_ended_;
  Id running_ ABSL_GUARDED_BY(mutex_) = 0;  // whose call is running; 0: nobody's
  ReactorTargets targets_ ABSL_GUARDED_BY(mutex_);
  Timers timers_ ABSL_GUARDED_BY(mutex_);
};

// As long as it exists the user's queue must.
class ReactorUse {
 public:
  explicit ReactorUse(std::shared_ptr<Reactor> reactor) : reactor_(std::move(reactor)) {
    if (reactor_ != nullptr) reactor_->users.fetch_add(1, std::memory_order_relaxed);
  }
  ReactorUse(const ReactorUse&) = delete;
  ReactorUse& operator=(const ReactorUse&) = delete;
  ~ReactorUse() {
    if (reactor_ != nullptr) reactor_->users.fetch_sub(1, std::memory_order_release);
  }

  // nullptr: there is none.
  Reactor* get() const { return reactor_.get(); }

 private:
  const std::shared_ptr<Reactor> reactor_;
};

}  // namespace nearcall::base
