// SPDX-License-Identifier: Apache-2.0
#include "base/waiter.h"

#include "base/blocking.h"
#include "base/futex.h"

namespace nearcall::base {

void Waiter::Tell(uint32_t news) {
  // Release: what the teller wrote before is seen by the owner, whose load in Wait() or finished() acquires.
  const uint32_t before = state_.fetch_or(news, std::memory_order_acq_rel);
  // SUBTLE: the waiter may be gone by now. The address is only a key to the kernel; waking nobody, or a later waiter at
  // the same address without reason, does no harm.
  if ((before & kAsleep) != 0) FutexWake(state_, 1, FutexScope::kProcess);
}

void Waiter::Wait(SteadyNs until) {
  uint32_t state = state_.load(std::memory_order_acquire);
  if ((state & (kFinished | kPoked)) == 0) {
    BlockingObserver::AboutToBlock();
    state = state_.load(std::memory_order_acquire);
  }
  while ((state & (kFinished | kPoked)) == 0) {
    if (NowNs() >= until) return;
    if ((state & kAsleep) == 0 &&
        !state_.compare_exchange_weak(state, state | kAsleep, std::memory_order_acq_rel, std::memory_order_acquire)) {
      continue;
    }
    FutexWait(state_, kAsleep, until, FutexScope::kProcess);
    state = state_.fetch_and(~kAsleep, std::memory_order_acq_rel) & ~kAsleep;
  }
  if ((state & kPoked) != 0) state_.fetch_and(~kPoked, std::memory_order_acq_rel);
}

}  // namespace nearcall::base
