// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/monitor.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>

#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::transport {

namespace {

constexpr int kEventBatch = 64;

// Timers run before descriptors have their turn again.
constexpr int kTimerBatch = 64;

constexpr uint64_t kTimerTag = 0;  // ids begin at 1

uint64_t TagOf(Monitor::Id target, uint32_t slot) {
  return target << 1 | slot;
}

// Which monitor the calling thread belongs to.
thread_local const Monitor* current_monitor = nullptr;

}  // namespace

absl::StatusOr<std::shared_ptr<Monitor>> Monitor::Start() {
  base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return base::ErrnoStatus("start the monitor: epoll_create1");
  base::Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return base::ErrnoStatus("start the monitor: timerfd_create");
  auto monitor = std::make_shared<Monitor>(std::move(epoll), std::move(timer));
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kTimerTag}};
  if (::epoll_ctl(monitor->epoll_.get(), EPOLL_CTL_ADD, monitor->timer_.get(), &event) != 0) {
    return base::ErrnoStatus("start the monitor: epoll_ctl");
  }
  // Owned by the thread too: it may be the one that gives up the last use.
  const auto run = [self = monitor] {
    current_monitor = self.get();
    self->Run();
  };
  if (absl::Status started = monitor->thread_.Start("nearcall-watch", base::kOwnStack, run); !started.ok()) {
    return started;
  }
  return monitor;
}

void Monitor::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    WakeAt(0);
  }
  if (current_monitor == this) {
    thread_.Detach();
  } else {
    thread_.Join();
  }
}

Monitor::Id Monitor::Add(std::shared_ptr<Target> target) {
  base::MutexLock lock(mutex_);
  const Id id = ++last_id_;
  targets_.emplace(id, std::move(target));
  return id;
}

absl::Status Monitor::Watch(Id target, uint32_t slot, int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = TagOf(target, slot)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return base::ErrnoStatus("watch a connection: epoll_ctl (see /proc/sys/fs/epoll/max_user_watches)");
}

void Monitor::ChangeEvents(Id target, uint32_t slot, int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = TagOf(target, slot)}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);  // ENOENT: no longer watched, the peer is gone
}

void Monitor::Unwatch(int fd) {
  epoll_event ignored{};
  // close(2) would not do: a forked child may hold the same open file.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &ignored);
}

Monitor::Id Monitor::AddTimer(base::SteadyNs when, std::function<void()> callback) {
  base::MutexLock lock(mutex_);
  const Id id = ++last_id_;
  timer_times_.emplace(id, when);
  try {
    timers_.emplace(std::pair(when, id), std::move(callback));
  } catch (const std::bad_alloc&) {
    timer_times_.erase(id);
    throw;
  }
  Arm();
  return id;
}

void Monitor::Remove(Id id) {
  // Destroyed after the lock is given back: what they own may be anything.
  std::shared_ptr<Target> target;
  TimerQueue::node_type timer;
  base::MutexLock lock(mutex_);
  if (const auto it = targets_.find(id); it != targets_.end()) {
    target = std::move(it->second);
    targets_.erase(it);
  }
  if (const auto it = timer_times_.find(id); it != timer_times_.end()) {
    timer = timers_.extract(std::pair(it->second, id));
    timer_times_.erase(it);
  }
  if (current_monitor == this) return;
  while (running_ == id) call_ended_.Wait(mutex_);
}

void Monitor::Run() {
  std::array<epoll_event, kEventBatch> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), kEventBatch, -1);
    NEARCALL_CHECK(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; ++i) Dispatch(events[static_cast<size_t>(i)]);
    base::MutexLock lock(mutex_);
    if (stopping_) return;
  }
}

void Monitor::Dispatch(const epoll_event& event) {
  if (event.data.u64 == kTimerTag) return RunDueTimers();
  std::shared_ptr<Target> target;
  {
    base::MutexLock lock(mutex_);
    const auto it = targets_.find(event.data.u64 >> 1);
    if (it == targets_.end()) return;  // removed since epoll_wait
    target = it->second;
    running_ = it->first;
  }
  target->OnReady(event.data.u64 & 1, event.events);
  target.reset();  // before Remove() returns in another thread: what the target owns is closed by then
  EndCall();
}

void Monitor::EndCall() {
  {
    base::MutexLock lock(mutex_);
    running_ = 0;
  }
  call_ended_.NotifyAll();
}

void Monitor::RunDueTimers() {
  {
    base::MutexLock lock(mutex_);
    uint64_t expirations;
    if (::read(timer_.get(), &expirations, sizeof(expirations)) < 0) return;  // EAGAIN: set anew since epoll_wait
    wake_at_ = base::kNever;
  }
  const base::SteadyNs now = base::NowNs();
  for (int i = 0; i < kTimerBatch; ++i) {
    TimerQueue::node_type timer = BeginDueTimer(now);
    if (timer.empty()) break;
    timer.mapped()();
    timer = {};
    EndCall();
  }
  base::MutexLock lock(mutex_);
  Arm();
}

Monitor::TimerQueue::node_type Monitor::BeginDueTimer(base::SteadyNs now) {
  base::MutexLock lock(mutex_);
  if (timers_.empty() || timers_.begin()->first.first > now) return {};
  running_ = timers_.begin()->first.second;
  timer_times_.erase(running_);
  return timers_.extract(timers_.begin());
}

void Monitor::Arm() {
  if (!timers_.empty() && timers_.begin()->first.first < wake_at_) WakeAt(timers_.begin()->first.first);
}

// A cancelled timer leaves timer_ as it is: one wake-up for nothing costs less than a system call for each
// cancellation.
void Monitor::WakeAt(base::SteadyNs when) {
  wake_at_ = when;
  const itimerspec at{.it_interval = {}, .it_value = base::ToTimespec(std::max<base::SteadyNs>(when, 1))};
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
}

}  // namespace nearcall::transport
