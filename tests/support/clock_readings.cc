// SPDX-License-Identifier: Apache-2.0
#include "support/clock_readings.h"

#include <time.h>

#include <atomic>

namespace {

std::atomic<size_t> readings{0};

}  // namespace

extern "C" {

int __real_clock_gettime(clockid_t clock, timespec* now);
int __wrap_clock_gettime(clockid_t clock, timespec* now);

int __wrap_clock_gettime(clockid_t clock, timespec* now) {
  readings.fetch_add(1, std::memory_order_relaxed);
  return __real_clock_gettime(clock, now);
}
}

namespace nearcall::testing {

size_t ClockReadings() {
  return readings.load(std::memory_order_relaxed);
}

}  // namespace nearcall::testing
