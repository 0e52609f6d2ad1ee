// SPDX-License-Identifier: Apache-2.0
#include "base/cycle_clock.h"

namespace nearcall::base {

namespace {

// A point of both clocks, as well as it can be told: the cycles stand somewhere in the span.
struct Point {
  SteadyNs begin;
  SteadyNs end;
  uint64_t cycles;

  int64_t span() const { return end - begin; }
};

// Of so many readings the tightest: the thread cannot have lost its CPU in all of them.
constexpr int kReadings = 8;

Point ReadBoth(SteadyNs (*now)(), uint64_t (*cycles)()) {
  Point tightest{};
  for (int i = 0; i < kReadings; ++i) {
    Point point{};
    point.begin = now();
    point.cycles = cycles();
    point.end = now();
    if (i == 0 || point.span() < tightest.span()) tightest = point;
  }
  return tightest;
}

// How long, at most, it is measured again where the readings are not tight enough.
constexpr int64_t kMaxCalibrationNs = 32 * CycleClock::kCalibrationNs;

// Both points may be off by their spans: by so little of the time between them.
constexpr int64_t kPartsOfTheTime = 100;

// From 10 GHz down to 100 MHz. What counts faster or slower is no time-stamp counter of this age.
constexpr double kMinNsPerCycle = 0.1;
constexpr double kMaxNsPerCycle = 10;

}  // namespace

double CycleClock::Calibrate(SteadyNs (*now)(), uint64_t (*cycles)()) {
  const Point start = ReadBoth(now, cycles);
  for (int64_t time = kCalibrationNs; time <= kMaxCalibrationNs; time *= 2) {
    while (now() - start.begin < time) {
    }
    const Point end = ReadBoth(now, cycles);
    const int64_t passed = end.begin - start.begin;
    if (end.cycles <= start.cycles || passed / kPartsOfTheTime < start.span() + end.span()) continue;
    const double ns_per_cycle = static_cast<double>(passed) / static_cast<double>(end.cycles - start.cycles);
    return ns_per_cycle >= kMinNsPerCycle && ns_per_cycle <= kMaxNsPerCycle ? ns_per_cycle : 0;
  }
  return 0;
}

}  // namespace nearcall::base
