// SPDX-License-Identifier: Apache-2.0
#include "base/spin_policy.h"

#include <gtest/gtest.h>

namespace nearcall::base {
namespace {

constexpr int64_t kMaxSpin = 50'000;
constexpr int64_t kTick = 1'000;

// A clock that advances by kTick whenever it is read, and a side that waits with it.
class SpinPolicyTest : public ::testing::Test {
 protected:
  SpinPolicyTest() { now_ = 1'000'000; }

  // Number of looks of one wait in vain.
  int WaitInVain(SpinPolicy& spin) {
    int looks = 0;
    EXPECT_FALSE(spin.Spin([&] { return ++looks, false; }));
    return looks;
  }

  // One wait that succeeds at the look number `at`; false if the policy gave up before.
  bool WaitUntilLook(SpinPolicy& spin, int at) {
    int looks = 0;
    return spin.Spin([&] { return ++looks == at; });
  }

  // Of `waits` in vain, how many spun.
  int CountSpins(SpinPolicy& spin, int waits) {
    int spins = 0;
    for (int i = 0; i < waits; ++i) spins += WaitInVain(spin) > 1 ? 1 : 0;
    return spins;
  }

  void TeachThatSpinningDoesNotHelp(SpinPolicy& spin) { CountSpins(spin, 20); }

  static int64_t Now() { return now_ += kTick; }
  static int64_t now_;
};
int64_t SpinPolicyTest::now_ = 0;

TEST_F(SpinPolicyTest, LooksOnceWithoutTimeWhenThereIsSomething) {
  SpinPolicy spin(kMaxSpin, &Now);
  const int64_t before = now_;
  EXPECT_TRUE(WaitUntilLook(spin, 1));
  EXPECT_EQ(now_, before);
}

TEST_F(SpinPolicyTest, SpinsForTheMaximumAndNoLonger) {
  SpinPolicy spin(kMaxSpin, &Now);
  const int64_t before = now_;
  EXPECT_GT(WaitInVain(spin), 100);
  EXPECT_LE(now_ - before, kMaxSpin + 2 * kTick);
}

TEST_F(SpinPolicyTest, ReturnsAtTheLookThatSucceeds) {
  SpinPolicy spin(kMaxSpin, &Now);
  EXPECT_TRUE(WaitUntilLook(spin, 30));
}

TEST_F(SpinPolicyTest, NeverSpinsWithAMaximumOfZero) {
  SpinPolicy spin(0, &Now);
  EXPECT_EQ(WaitInVain(spin), 1);
  EXPECT_TRUE(WaitUntilLook(spin, 1));
}

TEST_F(SpinPolicyTest, SpinsSeldomWhereItDoesNotHelp) {
  SpinPolicy spin(kMaxSpin, &Now);
  TeachThatSpinningDoesNotHelp(spin);
  EXPECT_EQ(CountSpins(spin, 10 * SpinPolicy::kProbeInterval), 10);
}

TEST_F(SpinPolicyTest, OneProbeThatSucceedsBringsSpinningBack) {
  SpinPolicy spin(kMaxSpin, &Now);
  TeachThatSpinningDoesNotHelp(spin);
  int waits = 1;
  while (!WaitUntilLook(spin, 2)) ++waits;
  EXPECT_LE(waits, static_cast<int>(SpinPolicy::kProbeInterval));
  EXPECT_TRUE(WaitUntilLook(spin, 30));
  EXPECT_GT(WaitInVain(spin), 1);
}

TEST_F(SpinPolicyTest, OneFailureAmongSuccessesChangesNothing) {
  SpinPolicy spin(kMaxSpin, &Now);
  for (int i = 0; i < 100; ++i) {
    EXPECT_GT(WaitInVain(spin), 1);
    EXPECT_TRUE(WaitUntilLook(spin, 5));
  }
}

TEST_F(SpinPolicyTest, AThreadThatLostItsCpuDoesNotSpinForAWhile) {
  SpinPolicy spin(kMaxSpin, &Now);
  int looks = 0;
  EXPECT_FALSE(spin.Spin([&] {
    if (++looks == 10) now_ += SpinPolicy::kDescheduledNs;
    return false;
  }));
  EXPECT_LT(looks, 10 + 2 * SpinPolicy::kLooksPerTick);
  EXPECT_EQ(WaitInVain(spin), 1);
  now_ += SpinPolicy::kOverloadPauseNs;
  EXPECT_GT(WaitInVain(spin), 1);
}

// The hypervisor was away with the CPU, not another thread.
TEST_F(SpinPolicyTest, AShortAbsenceOfTheCpuIsPartOfTheSpin) {
  SpinPolicy spin(10 * kMaxSpin, &Now);
  int looks = 0;
  EXPECT_TRUE(spin.Spin([&] {
    if (++looks == 10) now_ += 100'000;
    return looks == 30;
  }));
  EXPECT_TRUE(WaitUntilLook(spin, 30));
}

TEST_F(SpinPolicyTest, AShortAbsenceDoesNotMakeASpinLonger) {
  SpinPolicy spin(kMaxSpin, &Now);
  int looks = 0;
  EXPECT_FALSE(spin.Spin([&] {
    if (++looks == 10) now_ += kMaxSpin;
    return false;
  }));
  EXPECT_LT(looks, 10 + 2 * SpinPolicy::kLooksPerTick);
  EXPECT_GT(WaitInVain(spin), 1);
}

TEST_F(SpinPolicyTest, WhatCameWhileTheCpuWasLostIsSeen) {
  SpinPolicy spin(kMaxSpin, &Now);
  bool arrived = false;
  EXPECT_TRUE(spin.Spin([&] {
    const bool seen = arrived;
    if (!arrived) now_ += SpinPolicy::kDescheduledNs;
    // After the last look before the clock is read.
    static int looks = 0;
    arrived = ++looks > SpinPolicy::kLooksPerTick;
    return seen;
  }));
}

// The counter of a virtual machine that goes on elsewhere.
TEST_F(SpinPolicyTest, AClockThatStepsBackEndsTheSpin) {
  SpinPolicy spin(kMaxSpin, &Now);
  int looks = 0;
  EXPECT_FALSE(spin.Spin([&] {
    if (++looks == 10) now_ -= 3'600'000'000'000;
    return looks > 100'000;  // it would be an hour
  }));
  EXPECT_LT(looks, 10 + 2 * SpinPolicy::kLooksPerTick);
}

TEST_F(SpinPolicyTest, AClockThatStepsBackEndsThePauseToo) {
  now_ += 3'600'000'000'000;
  SpinPolicy spin(kMaxSpin, &Now);
  int looks = 0;
  EXPECT_FALSE(spin.Spin([&] {
    if (++looks == 10) now_ += SpinPolicy::kDescheduledNs;
    return false;
  }));
  EXPECT_EQ(WaitInVain(spin), 1);
  now_ -= 3'600'000'000'000;
  EXPECT_GT(WaitInVain(spin), 1);
}

}  // namespace
}  // namespace nearcall::base
