// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/queued_dial.h"

#include <sys/epoll.h>

#include <new>
#include <utility>

#include "base/no_memory.h"

namespace nearcall::rpc {

void QueuedDial::Start(const std::shared_ptr<QueuedDial>& self) {
  id_ = reactor_.Add(self);
  reactor_.Schedule(id_);
}

void QueuedDial::OnReady(uint32_t /*slot*/, uint32_t /*events*/) {
  OnTurn(1);
}

size_t QueuedDial::OnTurn(size_t /*max*/) {
  bool has_outcome;
  {
    base::MutexLock lock(mutex_);
    if (dial_ == nullptr) return 0;
    Step();
    has_outcome = outcome_.has_value();
  }
  if (has_outcome) done_();
  return 0;
}

void QueuedDial::Step() {
  // A step may close what is watched.
  Unwatch();
  if (timer_ != 0) reactor_.Remove(std::exchange(timer_, 0));
  try {
    outcome_ = dial_->Step();
    if (!outcome_) Watch();
  } catch (const std::bad_alloc&) {
    outcome_ = base::NoMemory();
  }
  if (outcome_) dial_ = nullptr;
}

void QueuedDial::Watch() {
  const transport::DialFds fds = dial_->fds();
  for (uint32_t slot = 0; slot < fds.size(); ++slot) {
    if (fds[slot] < 0) continue;
    if (absl::Status status = reactor_.Watch(id_, slot, fds[slot], EPOLLIN); !status.ok()) {
      Unwatch();
      outcome_ = std::move(status);
      return;
    }
    watched_[slot] = fds[slot];
  }
  if (dial_->when() == base::kNever) return;
  timer_ = reactor_.AddTimer(dial_->when(), [this] { OnTurn(1); });
}

void QueuedDial::Unwatch() {
  for (int& fd : watched_) {
    if (fd >= 0) reactor_.Unwatch(std::exchange(fd, -1));
  }
}

QueuedDial::Outcome QueuedDial::Take() {
  {
    base::MutexLock lock(mutex_);
    if (!outcome_) return std::nullopt;
  }
  return Stop().outcome;
}

QueuedDial::Rest QueuedDial::Stop() {
  Rest rest;
  base::Reactor::Id timer;
  {
    base::MutexLock lock(mutex_);
    Unwatch();
    rest = {.dial = std::move(dial_), .outcome = std::exchange(outcome_, std::nullopt)};
    timer = timer_;
  }
  if (timer != 0) reactor_.Remove(timer);
  reactor_.Remove(id_);
  return rest;
}

}  // namespace nearcall::rpc
