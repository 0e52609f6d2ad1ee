// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/blocking_habit.h"

#include <gtest/gtest.h>

namespace nearcall::rpc {
namespace {

TEST(BlockingHabitTest, OneLongRunIsRememberedUntilManyWereQuick) {
  BlockingHabit habit;
  EXPECT_FALSE(habit.blocks());
  habit.Ran(base::kBlockingHandlerNs - 1);
  EXPECT_FALSE(habit.blocks());
  habit.Ran(base::kBlockingHandlerNs);
  for (uint32_t i = 0; i < BlockingHabit::kQuickRuns; ++i) {
    EXPECT_TRUE(habit.blocks());
    habit.Ran(0);
  }
  EXPECT_FALSE(habit.blocks());
  habit.Ran(0);
  EXPECT_FALSE(habit.blocks());
}

TEST(BlockingHabitTest, AnotherLongRunBeginsTheCountAnew) {
  BlockingHabit habit;
  habit.Ran(base::kBlockingHandlerNs);
  habit.Ran(0);
  habit.Ran(base::kBlockingHandlerNs);
  for (uint32_t i = 1; i < BlockingHabit::kQuickRuns; ++i) habit.Ran(0);
  EXPECT_TRUE(habit.blocks());
}

}  // namespace
}  // namespace nearcall::rpc
