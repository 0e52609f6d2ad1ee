#include "base/cycle_clock.h"

namespace nearcall::base {

double CycleClock::Calibrate() {
#if defined(__x86_64__)
  const SteadyNs start = base::NowNs();
  const uint64_t start_cycles = ::__rdtsc();
  SteadyNs end = start;
  while (end - start < kCalibrationNs) end = base::NowNs();
  const uint64_t end_cycles = ::__rdtsc();
  if (end_cycles <= start_cycles) return 0;
  return static_cast<double>(end - start) / static_cast<double>(end_cycles - start_cycles);
#else
  return 0;
#endif
}

}  // namespace nearcall::base
