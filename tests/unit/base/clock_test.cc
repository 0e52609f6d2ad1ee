// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <gtest/gtest.h>

#include <chrono>

namespace nearcall::base {
namespace {

TEST(ClockTest, NeverGoesBack) {
  const SteadyNs first = NowNs();
  EXPECT_GE(NowNs(), first);
}

// Nobody sets this clock; steady_clock is CLOCK_MONOTONIC with libstdc++.
TEST(ClockTest, IsTheSteadyClock) {
  const auto steady = [] {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  const SteadyNs before = steady();
  const SteadyNs now = NowNs();
  EXPECT_LE(before, now);
  EXPECT_LE(now, steady());
}

TEST(ClockTest, AddSaturates) {
  EXPECT_EQ(AddNs(5, 7), 12);
  EXPECT_EQ(AddNs(5, kNever), kNever);
  EXPECT_EQ(AddNs(5, kNever - 5), kNever);
  EXPECT_EQ(AddNs(5, kNever - 6), kNever - 1);
  EXPECT_EQ(AddNs(kNever, 1), kNever);
  EXPECT_EQ(AddNs(5, -7), -2);
}

TEST(ClockTest, AnInfiniteDurationNeverEnds) {
  EXPECT_EQ(AfterNow(absl::InfiniteDuration()), kNever);
  EXPECT_LT(AfterNow(-absl::InfiniteDuration()), NowNs());
}

TEST(ClockTest, TimespecHasSecondsAndTheRest) {
  const timespec time = ToTimespec(2'000'000'003);
  EXPECT_EQ(time.tv_sec, 2);
  EXPECT_EQ(time.tv_nsec, 3);
}

}  // namespace
}  // namespace nearcall::base
