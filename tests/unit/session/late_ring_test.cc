// SPDX-License-Identifier: Apache-2.0
#include "session/late_ring.h"

#include <gtest/gtest.h>

namespace nearcall::session {
namespace {

constexpr base::SteadyNs kStart = 1'000'000'000;

void Await(Waiting& waiting, size_t lane = 1) {
  waiting.lane = lane;
  waiting.Await(kStart);
}

TEST(LateRingTest, ThereIsNothingToRingForBeforeSomethingIsSent) {
  const LateRing ring;
  Waiting waiting;
  EXPECT_EQ(ring.When(waiting), base::kNever);
  EXPECT_FALSE(ring.IsDue(waiting, kStart));
}

TEST(LateRingTest, RingsAfterTheLeastAndThenTwiceAsLateEachTime) {
  const LateRing ring;
  Waiting waiting;
  Await(waiting);
  base::SteadyNs due = kStart + base::kWatchdogMinNs;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ring.When(waiting), due);
    EXPECT_FALSE(ring.IsDue(waiting, due - 1));
    EXPECT_TRUE(ring.IsDue(waiting, due));
    EXPECT_EQ(ring.When(waiting) - kStart, 2 * (due - kStart));
    due = ring.When(waiting);
  }
}

TEST(LateRingTest, NeverWaitsLongerThanASliceForTheNextRing) {
  const LateRing ring;
  Waiting waiting;
  Await(waiting);
  const base::SteadyNs late = kStart + 100 * base::kBusyWaitSliceNs;
  EXPECT_TRUE(ring.IsDue(waiting, late));
  EXPECT_EQ(ring.When(waiting), late + base::kBusyWaitSliceNs);
}

TEST(LateRingTest, WhatIsUsualInItsLaneDelaysTheFirstRing) {
  LateRing ring;
  Waiting slow;
  Await(slow, 2);
  for (int i = 0; i < 200; ++i) ring.Learn(slow, kStart + 1'000'000);
  EXPECT_NEAR(static_cast<double>(ring.When(slow) - kStart), 4'000'000, 100'000);
  Waiting other;
  Await(other, 3);
  EXPECT_EQ(ring.When(other), kStart + base::kWatchdogMinNs);
  for (int i = 0; i < 1000; ++i) ring.Learn(slow, kStart + 1'000'000'000);
  EXPECT_EQ(ring.When(slow), kStart + base::kWatchdogMaxNs);
}

TEST(LateRingTest, OneThatTookLongDelaysTheNextOnesLittle) {
  LateRing ring;
  Waiting waiting;
  Await(waiting);
  for (int i = 0; i < 200; ++i) ring.Learn(waiting, kStart + 200'000);
  const int64_t before = ring.When(waiting) - kStart;
  ring.Learn(waiting, kStart + 10'000'000'000);
  EXPECT_LT(ring.When(waiting) - kStart, 2 * before);
}

}  // namespace
}  // namespace nearcall::session
