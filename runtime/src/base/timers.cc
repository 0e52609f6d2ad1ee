// SPDX-License-Identifier: Apache-2.0
#include "base/timers.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace nearcall::base {

void Timers::Add(Id id, SteadyNs when, Callback callback) {
  times_.emplace(id, when);
  try {
    timers_.emplace(std::pair(when, id), std::move(callback));
  } catch (const std::bad_alloc&) {
    times_.erase(id);
    throw;
  }
  SetAnew();
}

Timers::Callback Timers::Remove(Id id) {
  const auto time = times_.find(id);
  if (time == times_.end()) return nullptr;
  const auto timer = timers_.find(std::pair(time->second, id));
  Callback callback = std::move(timer->second);
  timers_.erase(timer);
  times_.erase(time);
  return callback;
}

Timers::All Timers::RemoveAll() {
  times_.clear();
  return std::exchange(timers_, {});
}

bool Timers::GoesOff() {
  uint64_t expirations;
  if (::read(timer_.get(), &expirations, sizeof(expirations)) < 0) return false;  // EAGAIN
  set_to_ = kNever;
  return true;
}

Timers::Due Timers::TakeDue(SteadyNs now) {
  const auto first = timers_.begin();
  if (first == timers_.end() || first->first.first > now) return {};
  Due due{.id = first->first.second, .callback = std::move(first->second)};
  times_.erase(due.id);
  timers_.erase(first);
  return due;
}

void Timers::SetAnew() {
  if (timers_.empty()) return;
  const SteadyNs first = timers_.begin()->first.first;
  if (first >= set_to_) return;
  set_to_ = first;
  const itimerspec at{.it_interval = {}, .it_value = ToTimespec(std::max<SteadyNs>(first, 1))};
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
}

}  // namespace nearcall::base
