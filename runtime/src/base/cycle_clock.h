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
  // The first call in a process measures the counter against CLOCK_MONOTONIC for kCalibrationNs.
  static int64_t NowNs() {
#if defined(__x86_64__)
    static const double ns_per_cycle = Calibrate();
    // A counter that stands still or runs backwards while it is measured is of no use.
    if (ns_per_cycle > 0) return static_cast<int64_t>(static_cast<double>(::__rdtsc()) * ns_per_cycle);
#endif
    return base::NowNs();
  }

  // Long against the 50 ns that reading both clocks may be apart (0.3 %), short against making a connection.
  static constexpr int64_t kCalibrationNs = 20'000;

 private:
  static double Calibrate();
};

}  // namespace nearcall::base
