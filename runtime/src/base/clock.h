// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace nearcall::base {

// A point of the steady clock (CLOCK_MONOTONIC) in nanoseconds. The only clock of the runtime: a change of the wall
// clock moves no deadline.
using SteadyNs = int64_t;

// Nanoseconds are counted from its seconds, in its type.
static_assert(sizeof(time_t) == sizeof(int64_t), "nearcall needs a 64-bit time_t: it is for 64-bit Linux only");

inline constexpr SteadyNs kNever = std::numeric_limits<int64_t>::max();

inline SteadyNs NowNs() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// `from + duration`, saturating at kNever.
inline SteadyNs AddNs(SteadyNs from, int64_t duration_ns) {
  return duration_ns >= kNever - from ? kNever : from + duration_ns;
}

inline SteadyNs AfterNow(absl::Duration duration) {
  return AddNs(NowNs(), absl::ToInt64Nanoseconds(duration));
}

// `ns` is not negative.
inline timespec ToTimespec(int64_t ns) {
  return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

inline void SleepUntil(SteadyNs when) {
  const timespec end = ToTimespec(when);
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr);
}

}  // namespace nearcall::base
