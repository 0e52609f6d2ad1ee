#include "base/waiter.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace nearcall::base {

namespace {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "a futex is a plain word");

// futex(2); FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time.
void FutexWait(std::atomic<uint32_t>* word, uint32_t expected, SteadyNs until) {
  const timespec deadline = ToTimespec(until);
  ::syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until == kNever ? nullptr : &deadline, nullptr,
            FUTEX_BITSET_MATCH_ANY);
}

void FutexWakeOne(std::atomic<uint32_t>* word) {
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace

void Waiter::Tell(uint32_t news) {
  // Release: what the teller wrote before is seen by the owner, whose load in Wait() or finished() acquires.
  const uint32_t before = state_.fetch_or(news, std::memory_order_acq_rel);
  // SUBTLE: the waiter may be gone by now. The address is only a key to the kernel; waking nobody, or a later waiter at
  // the same address without reason, does no harm.
  if ((before & kAsleep) != 0) FutexWakeOne(&state_);
}

void Waiter::Wait(SteadyNs until) {
  uint32_t state = state_.load(std::memory_order_acquire);
  while ((state & (kFinished | kPoked)) == 0) {
    if (NowNs() >= until) return;
    if ((state & kAsleep) == 0 &&
        !state_.compare_exchange_weak(state, state | kAsleep, std::memory_order_acq_rel, std::memory_order_acquire)) {
      continue;
    }
    FutexWait(&state_, kAsleep, until);
    state = state_.fetch_and(~kAsleep, std::memory_order_acq_rel) & ~kAsleep;
  }
  if ((state & kPoked) != 0) state_.fetch_and(~kPoked, std::memory_order_acq_rel);
}

}  // namespace nearcall::base
