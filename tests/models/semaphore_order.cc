// SPDX-License-Identifier: Apache-2.0

// The semaphore on which a client sleeps: two that post, each for another reason, and one that waits for both.
//
// The code, with its memory orders: base::Semaphore, Post by threads 1 and 2, Wait by thread 0. The count is the
// kernel's word too, and so the only one that need not be believed to be fresh.
//
// It must hold: who has found a count sees what was written before it was posted; nobody sleeps for good.
//
// Run: -DSWITCHES=3
#include "search.h"

namespace {

#ifdef MUTANT_POST_IS_NOT_RELEASED
constexpr rl::memory_order kPost = rl::mo_relaxed;
#else
constexpr rl::memory_order kPost = rl::mo_release;
#endif
#ifdef MUTANT_COUNT_IS_NOT_ACQUIRED
constexpr rl::memory_order kTake = rl::mo_relaxed;
#else
constexpr rl::memory_order kTake = rl::mo_acquire;
#endif

struct SemaphoreOrder : rl::test_suite<SemaphoreOrder, 3> {
  rl::atomic<int> word;
  rl::var<int> reason[2];

  void before() { word.store(0, rl::mo_relaxed, $); }

  void thread(unsigned index) {
    if (index == 0) {
      // All counts, one by one or together: both reasons have been posted then.
      for (int taken = 0; taken < 2;) taken += Wait();
      RL_ASSERT(static_cast<int>(reason[0]($)) == 1);
      RL_ASSERT(static_cast<int>(reason[1]($)) == 1);
    } else {
      reason[index - 1]($) = 1;
      Post();
    }
  }

  void Post() {
    word.fetch_add(1, kPost, $);
#ifndef MUTANT_SLEEPER_IS_NOT_WOKEN
    Futex(rl::RL_FUTEX_WAKE, 1);
#endif
  }

  // How much there was.
  int Wait() {
    for (;;) {
      if (const int count = Take(); count != 0) return count;
#ifdef MUTANT_KERNEL_DOES_NOT_COMPARE
      Futex(rl::RL_FUTEX_WAIT, word.load(rl::mo_relaxed, $));
#else
      Futex(rl::RL_FUTEX_WAIT, 0);
#endif
    }
  }

  int Take() {
#ifdef MUTANT_TAKEN_IN_TWO_STEPS
    const int count = word.load(kTake, $);
    word.store(0, rl::mo_relaxed, $);
    return count;
#else
    return word.exchange(0, kTake, $);
#endif
  }

  int Futex(rl::RL_FUTEX_OP op, int value) {
    return rl::rl_int_futex_impl(rl::ctx(), &word, op, value, nullptr, nullptr, 0, $);
  }
};

}  // namespace

int main() {
  return nearcall::models::Search<SemaphoreOrder>(SWITCHES);
}
