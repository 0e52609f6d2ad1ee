// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "base/thread.h"

namespace nearcall::transport {

// A thread that waits for descriptors and for points in time, and calls back, one call at a time and with no lock held.
// Thread-safe. Owned by MonitorUse (monitor_use.h) and by its own thread, which ends with Stop().
class Monitor {
 public:
  using Id = uint64_t;  // of a target or timer; never used again

  // Whoever has descriptors under watch.
  class Target {
   public:
    virtual ~Target() = default;
    // `slot`: as given to Watch(). `events`: of epoll_wait(2), level-triggered; may be out of date.
    virtual void OnReady(uint32_t slot, uint32_t events) = 0;
  };

  static absl::StatusOr<std::shared_ptr<Monitor>> Start();
  Monitor(base::Fd epoll, base::Fd timer) : epoll_(std::move(epoll)), timer_(std::move(timer)) {}
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  // Ends the thread, and waits for that unless it is the calling one. Once, when nothing is watched any more.
  void Stop();

  Id Add(std::shared_ptr<Target> target);
  // A target may have two descriptors, slot 0 and 1. Until Unwatch(), which comes before the descriptor is closed.
  absl::Status Watch(Id target, uint32_t slot, int fd, uint32_t events);
  void ChangeEvents(Id target, uint32_t slot, int fd, uint32_t events);
  void Unwatch(int fd);

  // Calls `callback` once, at `when`.
  Id AddTimer(base::SteadyNs when, std::function<void()> callback);

  // After this the target or timer is not called, and no call is running, unless this is called from within one.
  void Remove(Id id);

 private:
  using TimerQueue = std::map<std::pair<base::SteadyNs, Id>, std::function<void()>>;

  void Run();
  void Dispatch(const epoll_event& event);
  void RunDueTimers();
  TimerQueue::node_type BeginDueTimer(base::SteadyNs now);
  void EndCall();
  void Arm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeAt(base::SteadyNs when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::Fd epoll_;
  const base::Fd timer_;
  base::Thread thread_;  // set before anybody else knows this object

  base::Mutex mutex_;
  base::CondVar call_ended_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Id last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  Id running_ ABSL_GUARDED_BY(mutex_) = 0;  // whose call is running; 0: nobody's
  std::map<Id, std::shared_ptr<Target>> targets_ ABSL_GUARDED_BY(mutex_);
  TimerQueue timers_ ABSL_GUARDED_BY(mutex_);
  std::map<Id, base::SteadyNs> timer_times_ ABSL_GUARDED_BY(mutex_);
  base::SteadyNs wake_at_ ABSL_GUARDED_BY(mutex_) = base::kNever;  // what timer_ is set to
};

}  // namespace nearcall::transport
