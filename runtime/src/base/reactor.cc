// SPDX-License-Identifier: Apache-2.0
#include "base/reactor.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <tuple>

#include "absl/cleanup/cleanup.h"
#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::base {

namespace {

constexpr int kEventBatch = 64;

// Timers run before descriptors have their turn again.
constexpr int kTimerBatch = 64;

// What an event is about. Targets' have an id, from 1, and a slot.
constexpr uint64_t kTimerTag = 0;
constexpr uint64_t kWakeTag = 1;
constexpr uint32_t kSlotBits = 2;

uint64_t TagOf(Reactor::Id target, uint32_t slot) {
  return target << kSlotBits | slot;
}

absl::Status WatchOwn(const Fd& epoll, const Fd& fd, uint32_t events, uint64_t tag) {
  epoll_event event{.events = events, .data = {.u64 = tag}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event) == 0) return absl::OkStatus();
  return ErrnoStatus("wait for events: epoll_ctl");
}

}  // namespace

// The turns that the calling thread is in, of different reactors, one within the other.
class Reactor::InTurn {
 public:
  explicit InTurn(Reactor& reactor) : reactor_(reactor), outer_(innermost) { innermost = this; }
  InTurn(const InTurn&) = delete;
  InTurn& operator=(const InTurn&) = delete;
  ~InTurn() {
    innermost = outer_;
    {
      MutexLock lock(reactor_.mutex_);
      if (reactor_.targets_.EndLook()) reactor_.Wake();
    }
    reactor_.has_thread_.store(false, std::memory_order_release);
  }

  static bool Has(const Reactor* reactor) {
    const InTurn* turn = innermost;
    while (turn != nullptr && &turn->reactor_ != reactor) turn = turn->outer_;
    return turn != nullptr;
  }

 private:
  static thread_local const InTurn* innermost;

  Reactor& reactor_;
  const InTurn* const outer_;
};

thread_local const Reactor::InTurn* Reactor::InTurn::innermost = nullptr;

absl::StatusOr<std::shared_ptr<Reactor>> Reactor::Create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus("wait for events: epoll_create1");
  Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return ErrnoStatus("wait for events: timerfd_create");
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus("wait for events: eventfd");
  absl::Status watched = WatchOwn(epoll, timer, EPOLLIN, kTimerTag);
  // Each write is an event of its own, and nobody has to read.
  if (watched.ok()) watched = WatchOwn(epoll, wake, EPOLLIN | EPOLLET, kWakeTag);
  if (!watched.ok()) return watched;
  return std::make_shared<Reactor>(std::move(epoll), std::move(timer), std::move(wake));
}

size_t Reactor::Turn(size_t max, int timeout_ms) {
  if (IsCurrent() || fork_guard_.InChild()) return 0;
  const bool other_thread = has_thread_.exchange(true, std::memory_order_acquire);
  NEARCALL_CHECK(!other_thread);  // one at a time
  const InTurn here(*this);
  std::array<epoll_event, kEventBatch> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventBatch, timeout_ms);
  NEARCALL_CHECK(count >= 0 || errno == EINTR);
  {
    MutexLock lock(mutex_);
    targets_.BeginLook();
  }
  for (int i = 0; i < count; ++i) Dispatch(events[static_cast<size_t>(i)]);
  return RunScheduled(max);
}

bool Reactor::IsCurrent() const {
  return InTurn::Has(this);
}

void Reactor::Wake() {
  const uint64_t one = 1;
  // It does not overflow in a machine's life.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

Reactor::Id Reactor::Add(const std::shared_ptr<Target>& target) {
  MutexLock lock(mutex_);
  const Id id = targets_.NewId();
  targets_.Add(id, target);
  return id;
}

absl::Status Reactor::Watch(Id target, uint32_t slot, int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = TagOf(target, slot)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return ErrnoStatus("watch a connection: epoll_ctl (see /proc/sys/fs/epoll/max_user_watches)");
}

void Reactor::ChangeEvents(Id target, uint32_t slot, int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = TagOf(target, slot)}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);  // ENOENT: no longer watched, the peer is gone
}

void Reactor::Unwatch(int fd) {
  epoll_event ignored{};
  // close(2) would not do: a forked child may hold the same open file.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &ignored);
}

void Reactor::Schedule(Id target) {
  MutexLock lock(mutex_);
  if (targets_.Schedule(target)) Wake();
}

Reactor::Id Reactor::AddTimer(SteadyNs when, std::function<void()> callback) {
  MutexLock lock(mutex_);
  const Id id = targets_.NewId();
  timers_.Add(id, when, std::move(callback));
  return id;
}

void Reactor::Remove(Id id) {
  // Destroyed after the lock is given back: what they own may be anything.
  std::shared_ptr<Target> target;
  Timers::Callback timer;
  MutexLock lock(mutex_);
  target = targets_.Remove(id);
  timer = timers_.Remove(id);
  if (IsCurrent()) return;
  while (running_ == id) call_ended_.Wait(mutex_);
}

void Reactor::Clear() {
  ReactorTargets::All targets;
  Timers::All timers;
  MutexLock lock(mutex_);
  targets = targets_.RemoveAll();
  timers = timers_.RemoveAll();
}

void Reactor::Dispatch(const epoll_event& event) {
  if (event.data.u64 == kTimerTag) return RunDueTimers();
  if (event.data.u64 == kWakeTag) return;
  std::shared_ptr<Target> target;
  {
    MutexLock lock(mutex_);
    const Id id = event.data.u64 >> kSlotBits;
    target = targets_.Find(id);
    if (target == nullptr) return;  // removed since epoll_wait
    running_ = id;
  }
  target->OnReady(event.data.u64 & ((1U << kSlotBits) - 1), event.events);
  target.reset();  // before Remove() returns in another thread: what the target owns is closed by then
  EndCall();
}

// Those that are scheduled now. Who schedules himself again has his next turn in the next one.
size_t Reactor::RunScheduled(size_t max) {
  size_t left;
  {
    MutexLock lock(mutex_);
    left = targets_.scheduled();
  }
  size_t ran = 0;
  for (; left > 0 && ran < max; --left) {
    std::shared_ptr<Target> target;
    {
      MutexLock lock(mutex_);
      std::tie(running_, target) = targets_.TakeScheduled();
    }
    if (target == nullptr) break;
    // The user's code may end its thread.
    const absl::Cleanup end = [&] {
      target.reset();
      EndCall();
    };
    ran += target->OnTurn(max - ran);
  }
  return ran;
}

void Reactor::EndCall() {
  {
    MutexLock lock(mutex_);
    running_ = 0;
  }
  call_ended_.NotifyAll();
}

void Reactor::RunDueTimers() {
  {
    MutexLock lock(mutex_);
    if (!timers_.GoesOff()) return;  // set anew since epoll_wait
  }
  const SteadyNs now = NowNs();
  for (int i = 0; i < kTimerBatch; ++i) {
    Timers::Due timer;
    {
      MutexLock lock(mutex_);
      timer = timers_.TakeDue(now);
      running_ = timer.id;
    }
    if (timer.id == 0) break;
    timer.callback();
    timer.callback = nullptr;
    EndCall();
  }
  MutexLock lock(mutex_);
  timers_.SetAnew();
}

}  // namespace nearcall::base
