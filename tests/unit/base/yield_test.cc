// SPDX-License-Identifier: Apache-2.0
#include "base/yield.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace nearcall::base {
namespace {

TEST(YieldTest, LooksOnceBeforeItYields) {
  int looks = 0;
  EXPECT_TRUE(YieldUntil([&] { return ++looks == 1; }, 0));
  EXPECT_EQ(looks, 1);
}

TEST(YieldTest, GivesUpAfterItsBudget) {
  const SteadyNs start = NowNs();
  EXPECT_FALSE(YieldUntil([] { return false; }, 200'000));
  EXPECT_GE(NowNs() - start, 200'000);
}

TEST(YieldTest, WithoutABudgetLooksOnce) {
  int looks = 0;
  EXPECT_FALSE(YieldUntil([&] { return ++looks == 2; }, 0));
  EXPECT_EQ(looks, 1);
}

TEST(YieldTest, SeesWhatAnotherThreadDoes) {
  std::atomic<bool> done{false};
  std::thread other([&] { done.store(true); });
  EXPECT_TRUE(YieldUntil([&] { return done.load(); }, kNever));
  other.join();
}

}  // namespace
}  // namespace nearcall::base
