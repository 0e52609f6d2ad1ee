// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/connection_ids.h"

#include <gtest/gtest.h>

#include <vector>

namespace nearcall::rpc {
namespace {

TEST(ConnectionIdsTest, CountsUpAndIsNeverZero) {
  ConnectionIds ids;
  EXPECT_EQ(ids.Take()->id(), 1u);
  EXPECT_EQ(ids.Take()->id(), 2u);
}

TEST(ConnectionIdsTest, BeginsAgainAndStepsOverThoseThatLive) {
  ConnectionIds ids(4);
  const ConnectionIds::LeasePtr first = ids.Take();
  ids.Take();
  const ConnectionIds::LeasePtr third = ids.Take();
  EXPECT_EQ(ids.Take()->id(), 4u);
  EXPECT_EQ(ids.Take()->id(), 2u);
  EXPECT_EQ(ids.Take()->id(), 4u);
}

TEST(ConnectionIdsTest, ANumberIsTakenAsLongAsSomebodyHoldsIt) {
  ConnectionIds ids(2);
  ConnectionIds::LeasePtr one = ids.Take();
  const ConnectionIds::LeasePtr also_one = one;
  one.reset();
  EXPECT_EQ(ids.Take()->id(), 2u);
  EXPECT_EQ(ids.Take()->id(), 2u);
}

}  // namespace
}  // namespace nearcall::rpc
