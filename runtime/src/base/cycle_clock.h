// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "base/clock.h"

namespace nearcall::base {

// A steady clock that is cheap enough for a spinning loop: the time-stamp counter, scaled to nanoseconds. Only
// differences mean anything, and only within one thread's wait; deadlines belong to NowNs(). Elsewhere than on x86-64
// it is NowNs().
class CycleClock {
 public:
  // The first call in a process measures the counter against CLOCK_MONOTONIC.
  static int64_t NowNs() {
#if defined(__x86_64__)
    static const double ns_per_cycle = Calibrate(&base::NowNs, &Cycles);
    if (ns_per_cycle > 0) return static_cast<int64_t>(static_cast<double>(::__rdtsc()) * ns_per_cycle);
#endif
    return base::NowNs();
  }

  // Long against the 50 ns that reading both clocks takes (0.3 %), short against making a connection.
  static constexpr int64_t kCalibrationNs = 20'000;

  // Nanoseconds per cycle, to 1 %, or 0 for a counter that is of no use: it stands still, runs backwards, or is no such
  // counter, or this thread lost its CPU too often. Where it loses it meanwhile, or reading the clocks is slow, it
  // measures up to 32 times as long. Public for its test.
  static double Calibrate(SteadyNs (*now)(), uint64_t (*cycles)());

 private:
#if defined(__x86_64__)
  static uint64_t Cycles() {
    return ::__rdtsc();
  }
#endif
};

}  // namespace nearcall::base
