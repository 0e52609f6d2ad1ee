// SPDX-License-Identifier: Apache-2.0
#include "base/cycle_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace nearcall::base {
namespace {

// Two clocks of one machine that is not there: reading either takes some time, and before one of the readings the
// thread loses its CPU.
class CycleClockTest : public ::testing::Test {
 protected:
  CycleClockTest() {
    time_ns_ = 1'000'000;
    cycles_per_ns_ = 3;
    readings_ = 0;
    lost_before_ = -1;
  }

  static void Read() {
    if (readings_++ == lost_before_) time_ns_ += kLostNs;
    time_ns_ += 20;
  }
  static SteadyNs Now() { return Read(), time_ns_; }
  static uint64_t Cycles() { return Read(), static_cast<uint64_t>(static_cast<double>(time_ns_) * cycles_per_ns_); }

  static double Calibrate() { return CycleClock::Calibrate(&Now, &Cycles); }

  static constexpr int64_t kLostNs = 4'000'000;

  static int64_t time_ns_;
  static double cycles_per_ns_;
  static int readings_;
  static int lost_before_;
};
int64_t CycleClockTest::time_ns_;
double CycleClockTest::cycles_per_ns_;
int CycleClockTest::readings_;
int CycleClockTest::lost_before_;

TEST_F(CycleClockTest, IsCalibratedAgainstTheSteadyClock) {
  EXPECT_NEAR(Calibrate(), 1.0 / 3, 0.01);
}

TEST_F(CycleClockTest, AThreadThatLosesItsCpuIsCalibratedAllTheSame) {
  for (lost_before_ = 0; lost_before_ < readings_ || lost_before_ == 0; ++lost_before_) {
    readings_ = 0;
    EXPECT_NEAR(Calibrate(), 1.0 / 3, 0.01) << "before reading " << lost_before_;
  }
  EXPECT_GT(lost_before_, 100);
}

TEST_F(CycleClockTest, WhoLosesItAtEachReadingIsDone) {
  const auto lose = []() -> SteadyNs {
    time_ns_ += kLostNs;
    return time_ns_;
  };
  EXPECT_EQ(CycleClock::Calibrate(lose, &Cycles), 0);
}

TEST_F(CycleClockTest, ACounterThatIsNoneIsNotUsed) {
  for (const double cycles_per_ns : {0.0, 0.001, 1000.0}) {
    cycles_per_ns_ = cycles_per_ns;
    EXPECT_EQ(Calibrate(), 0) << cycles_per_ns;
  }
  const auto backwards = []() -> uint64_t { return uint64_t{1} << 60 >> std::min(readings_++ / 64, 60); };
  EXPECT_EQ(CycleClock::Calibrate(&Now, backwards), 0);
}

TEST_F(CycleClockTest, AgreesWithTheSteadyClock) {
  CycleClock::NowNs();
  const int64_t cycles_start = CycleClock::NowNs();
  const SteadyNs start = NowNs();
  while (NowNs() - start < 2'000'000) {
  }
  const int64_t cycles = CycleClock::NowNs() - cycles_start;
  const int64_t steady = NowNs() - start;
  EXPECT_NEAR(static_cast<double>(cycles), static_cast<double>(steady), 0.2 * static_cast<double>(steady));
}

}  // namespace
}  // namespace nearcall::base
