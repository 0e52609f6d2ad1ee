// SPDX-License-Identifier: Apache-2.0

// One thread that waits, one that pokes it, and one that ends what it waits for.
//
// The code, with its memory orders: base::Waiter, Wait() and finished() by thread 0, Finish() by thread 1, Poke() by
// thread 2; Receiver::Deliver, which writes the outcome before Finish(). The owner destroys the waiter as soon as
// it sees finished().
//
// It must hold: the owner sees the outcome, and what came with the poke; it does not sleep for good; who tells it
// touches nothing of it afterwards.
//
// Run: -DSWITCHES=3
#include "search.h"

namespace {

constexpr int kFinished = 1;
constexpr int kPoked = 2;
constexpr int kAsleep = 4;

#ifdef MUTANT_OUTCOME_IS_NOT_RELEASED
constexpr rl::memory_order kTell = rl::mo_acquire;
#else
constexpr rl::memory_order kTell = rl::mo_acq_rel;
#endif
#ifdef MUTANT_OUTCOME_IS_NOT_ACQUIRED
constexpr rl::memory_order kLook = rl::mo_relaxed;
#else
constexpr rl::memory_order kLook = rl::mo_acquire;
#endif

struct WaiterOrder : rl::test_suite<WaiterOrder, 3> {
  rl::atomic<int> state;
  rl::var<int> outcome;
  rl::var<int> poked_for;
  rl::var<int> waiter_exists;
  rl::mutex lock;

  void before() {
    state.store(0, rl::mo_relaxed, $);
    waiter_exists($) = 1;
  }

  void thread(unsigned index) {
    if (index == 0) {
      Own();
    } else if (index == 1) {
      outcome($) = 1;
      Tell(kFinished);
    } else {
      Poke();
    }
  }

  void Own() {
    while ((state.load(kLook, $) & kFinished) == 0) {
      if (Wait()) RL_ASSERT(static_cast<int>(poked_for($)) == 1);
    }
    RL_ASSERT(static_cast<int>(outcome($)) == 1);
    lock.lock($);
    waiter_exists($) = 0;
    lock.unlock($);
  }

  // Who pokes knows by a lock that the waiter still exists.
  void Poke() {
    poked_for($) = 1;
    lock.lock($);
    if (static_cast<int>(waiter_exists($)) == 1) Tell(kPoked);
    lock.unlock($);
  }

  // Whether it was poked.
  bool Wait() {
    int now = state.load(kLook, $);
    while ((now & (kFinished | kPoked)) == 0) {
      if ((now & kAsleep) == 0 &&
          !state.compare_exchange_strong(now, now | kAsleep, rl::mo_acq_rel, $, rl::mo_acquire, $)) {
        continue;
      }
#ifdef MUTANT_KERNEL_DOES_NOT_COMPARE
      Futex(rl::RL_FUTEX_WAIT, state.load(rl::mo_relaxed, $));
#else
      Futex(rl::RL_FUTEX_WAIT, kAsleep);
#endif
      now = state.fetch_and(~kAsleep, rl::mo_acq_rel, $) & ~kAsleep;
    }
    if ((now & kPoked) == 0) return false;
    state.fetch_and(~kPoked, rl::mo_acq_rel, $);
    return true;
  }

  void Tell(int news) {
    RL_ASSERT(static_cast<int>(waiter_exists($)) == 1);
    const int before = state.fetch_or(news, kTell, $);
#ifdef MUTANT_TOUCHED_AFTER_THE_END
    RL_ASSERT(static_cast<int>(waiter_exists($)) == 1);
#endif
#ifndef MUTANT_SLEEPER_IS_NOT_WOKEN
    if ((before & kAsleep) != 0) Futex(rl::RL_FUTEX_WAKE, 1);
#endif
    static_cast<void>(before);
  }

  // The kernel compares and sleeps in one step; waking takes the address only.
  int Futex(rl::RL_FUTEX_OP op, int value) {
    return rl::rl_int_futex_impl(rl::ctx(), &state, op, value, nullptr, nullptr, 0, $);
  }
};

}  // namespace

int main() {
  return nearcall::models::Search<WaiterOrder>(SWITCHES);
}
