// SPDX-License-Identifier: Apache-2.0

// A thread that sleeps in poll(2), and two that interrupt it, once and twice, each time for another reason.
//
// The code, with its memory orders: FdSleeper::Wait (thread 0), Interrupt (threads 1 and 2); their reason is what
// ConnectionEnd::NoteGone and Break store (release) and dead() loads (acquire).
//
// It must hold: the sleeper sees all reasons; it does not sleep for good.
//
// Run: -DSWITCHES=2
#include "search.h"

namespace {

struct SleeperOrder : rl::test_suite<SleeperOrder, 3> {
  rl::atomic<int> interrupted;
  rl::atomic<int> reason[3];
  rl::atomic<int> counter;  // of the eventfd: the kernel's, and so no order is too strong

  void before() {
    interrupted.store(0, rl::mo_relaxed, $);
    for (rl::atomic<int>& each : reason) each.store(0, rl::mo_relaxed, $);
    counter.store(0, rl::mo_relaxed, $);
  }

  void thread(unsigned index) {
    if (index == 0) {
      for (rl::atomic<int>& each : reason) {
        while (each.load(rl::mo_acquire, $) == 0) Wait();
      }
    } else if (index == 1) {
      InterruptFor(reason[0]);
    } else {
      InterruptFor(reason[1]);
      InterruptFor(reason[2]);
    }
  }

  void InterruptFor(rl::atomic<int>& why) {
    why.store(1, rl::mo_release, $);
    Interrupt();
  }

  void Wait() {
#ifdef MUTANT_MARK_IS_TAKEN_BEFORE_THE_READ
    while (counter.load(rl::mo_seq_cst, $) == 0) Futex(rl::RL_FUTEX_WAIT, 0);
    interrupted.exchange(0, rl::mo_acq_rel, $);
    counter.exchange(0, rl::mo_seq_cst, $);
#else
    while (counter.exchange(0, rl::mo_seq_cst, $) == 0) Futex(rl::RL_FUTEX_WAIT, 0);
#ifdef MUTANT_MARK_IS_OVERWRITTEN
    // As it was. What the last of those who found the mark set has stored need not be seen.
    interrupted.store(0, rl::mo_seq_cst, $);
#else
    interrupted.exchange(0, rl::mo_acq_rel, $);
#endif
#endif
  }

  void Interrupt() {
#ifdef MUTANT_MARK_IS_NOT_RELEASED
    if (interrupted.exchange(1, rl::mo_acquire, $) != 0) return;
#else
    if (interrupted.exchange(1, rl::mo_seq_cst, $) != 0) return;
#endif
    counter.fetch_add(1, rl::mo_seq_cst, $);
    Futex(rl::RL_FUTEX_WAKE, 1);
  }

  int Futex(rl::RL_FUTEX_OP op, int value) {
    return rl::rl_int_futex_impl(rl::ctx(), &counter, op, value, nullptr, nullptr, 0, $);
  }
};

}  // namespace

int main() {
  return nearcall::models::Search<SleeperOrder>(SWITCHES);
}
