// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

#include <cstdint>

#include "base/clock.h"

namespace nearcall::base {

// Gives the CPU away again and again until `done()` or for `budget_ns`. For the moment after another thread was woken:
// if it was put on this very CPU it runs at once, and if not, a yield with nobody to yield to returns at once.
template <typename Done>
bool YieldUntil(Done&& done, int64_t budget_ns) {
  const SteadyNs end = AddNs(NowNs(), budget_ns);
  while (!done()) {
    if (NowNs() >= end) return false;
    ::sched_yield();
  }
  return true;
}

}  // namespace nearcall::base
