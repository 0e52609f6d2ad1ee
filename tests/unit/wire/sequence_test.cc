// SPDX-License-Identifier: Apache-2.0
#include "wire/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace nearcall::wire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

FrameHeader Frame(int lane, uint64_t sequence) {
  return {.priority = static_cast<uint8_t>(lane), .sequence = sequence};
}

TEST(SequenceTest, EachLaneCountsFromOne) {
  SequenceCounter counter;
  EXPECT_EQ(counter.Next(0), 1u);
  EXPECT_EQ(counter.Next(0), 2u);
  EXPECT_EQ(counter.Next(3), 1u);
  EXPECT_EQ(counter.Next(0), 3u);
}

TEST(SequenceTest, WhatIsCountedIsTaken) {
  SequenceCounter counter;
  SequenceChecker checker;
  for (int i = 0; i < 100; ++i) {
    const int lane = (i * 7 + i / 9) % base::kLanes;
    ASSERT_TRUE(checker.Check(Frame(lane, counter.Next(lane))).ok()) << i;
  }
}

TEST(SequenceTest, AGapIsRefusedWithLaneAndBothNumbers) {
  SequenceChecker checker;
  ASSERT_TRUE(checker.Check(Frame(2, 1)).ok());
  const absl::Status status = checker.Check(Frame(2, 3));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("lane 2"), HasSubstr("expected frame 2"), HasSubstr("received 3"), HasSubstr("gap")));
}

TEST(SequenceTest, ADuplicateIsRefused) {
  SequenceChecker checker;
  ASSERT_TRUE(checker.Check(Frame(1, 1)).ok());
  EXPECT_THAT(std::string(checker.Check(Frame(1, 1)).message()), HasSubstr("already"));
}

TEST(SequenceTest, AStepBackIsRefused) {
  SequenceChecker checker(1000);
  EXPECT_FALSE(checker.Check(Frame(0, 1)).ok());
  EXPECT_FALSE(checker.Check(Frame(0, 0)).ok());
}

TEST(SequenceTest, AnotherLanesNumberIsRefused) {
  SequenceChecker checker;
  ASSERT_TRUE(checker.Check(Frame(0, 1)).ok());
  EXPECT_FALSE(checker.Check(Frame(1, 2)).ok());
}

TEST(SequenceTest, NumbersHave64Bits) {
  for (const uint64_t start : {(uint64_t{1} << 32) - 8, std::numeric_limits<uint64_t>::max() - 8}) {
    SequenceCounter counter(start);
    SequenceChecker checker(start);
    for (int i = 0; i < 16; ++i) ASSERT_TRUE(checker.Check(Frame(0, counter.Next(0))).ok()) << start << " + " << i;
  }
  SequenceChecker checker((uint64_t{1} << 32) + 5);
  EXPECT_FALSE(checker.Check(Frame(0, 5)).ok());
}

}  // namespace
}  // namespace nearcall::wire
