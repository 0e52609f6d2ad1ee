// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace nearcall::base {

// The CPU on which the calling thread runs; true for a moment only. -1 if the kernel does not say.
inline int CurrentCpu() {
  return ::sched_getcpu();
}

// Tells the core that this is a loop that waits: saves power, and leaves a loop without a mis-speculated load.
inline void Pause() {
#if defined(__SSE2__)
  ::_mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace nearcall::base
