// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace nearcall::testing {

// How often the threads of this process have read a clock by clock_gettime(2). For programs that are linked with
// clock_readings.cc and --wrap=clock_gettime.
size_t ClockReadings();

}  // namespace nearcall::testing
