// SPDX-License-Identifier: Apache-2.0
#include "session/reader_role.h"

#include <gtest/gtest.h>

#include <utility>

#include "unit/session/link.h"

namespace nearcall::session {
namespace {

class ReaderRoleTest : public ::testing::Test {
 protected:
  // Whether there was a poke that `waiting` has not seen yet.
  static bool WasPoked(Waiting& waiting) {
    const base::SteadyNs until = base::NowNs() + 1'000'000;
    waiting.waiter.Wait(until);
    return base::NowNs() < until;
  }
  int interrupts() const { return link_.client_spy->interrupts; }

  testing::Link link_ = testing::MakeLink();
  ReaderRole role_{*link_.client.transport};
  Waiting first_, second_, third_;
};

TEST_F(ReaderRoleTest, WhoComesFirstReadsUntilHeLeaves) {
  EXPECT_TRUE(role_.Take(first_));
  EXPECT_FALSE(role_.Take(second_));
  EXPECT_TRUE(role_.Take(first_));
  role_.Leave(first_);
  EXPECT_TRUE(role_.Take(second_));
  role_.Leave(second_);
}

TEST_F(ReaderRoleTest, TheRoleGoesToWhoHasWaitedLongestAtOnce) {
  role_.Take(first_);
  role_.Take(second_);
  role_.Take(third_);
  role_.Leave(first_);
  EXPECT_TRUE(WasPoked(second_));
  EXPECT_FALSE(role_.Take(first_)) << "it was free for whoever comes";
  EXPECT_FALSE(role_.Take(third_));
  role_.Leave(second_);
  EXPECT_TRUE(WasPoked(third_));
  role_.Leave(third_);
  role_.Leave(first_);
}

TEST_F(ReaderRoleTest, WhoWaitsNoLongerDoesNotGetIt) {
  role_.Take(first_);
  role_.Take(second_);
  role_.Take(third_);
  role_.Leave(second_);
  role_.Leave(first_);
  EXPECT_TRUE(role_.Take(third_));
  role_.Leave(third_);
}

TEST_F(ReaderRoleTest, WhoIsToldLooksAgainWhetherHeReadsOrNot) {
  role_.Take(first_);
  role_.Take(second_);
  role_.Tell(second_);
  EXPECT_TRUE(second_.news);
  EXPECT_TRUE(WasPoked(second_));
  EXPECT_EQ(interrupts(), 0);
  role_.Tell(first_);
  EXPECT_TRUE(first_.news);
  EXPECT_EQ(interrupts(), 1);
  role_.Leave(second_);
  role_.Leave(first_);
}

TEST_F(ReaderRoleTest, WithoutAReaderThereIsNobodyToInterrupt) {
  role_.InterruptReader();
  role_.InterruptIfReader(&first_);
  EXPECT_EQ(interrupts(), 0);
  role_.Take(first_);
  role_.InterruptIfReader(&second_);
  EXPECT_EQ(interrupts(), 0);
  role_.InterruptReader();
  EXPECT_EQ(interrupts(), 1);
  role_.Leave(first_);
}

// --- the stand-in ---

struct Heard final : Listener {
  void OnNews() override { ++times; }
  int times = 0;
};

class StandInTest : public ReaderRoleTest {
 protected:
  StandInTest() {
    stand_in_.listener = &heard_;
    role_.SetStandIn(&stand_in_);
  }
  bool WasTold() {
    stand_in_.ForgetNews();
    return std::exchange(heard_.times, 0) == 1;
  }

  Heard heard_;
  Waiting stand_in_;
};

TEST_F(StandInTest, ItReadsOnlyWhileNobodyElseDoes) {
  EXPECT_TRUE(role_.TryTake(stand_in_));
  EXPECT_TRUE(role_.TryTake(stand_in_));
  role_.Leave(stand_in_);
  EXPECT_FALSE(WasTold()) << "it has just looked";
  role_.Take(first_);
  EXPECT_FALSE(role_.TryTake(stand_in_));
  role_.Leave(first_);
}

TEST_F(StandInTest, WhoLeavesTheRoleToNobodyTellsIt) {
  role_.Take(first_);
  role_.Take(second_);
  role_.Leave(first_);
  EXPECT_FALSE(WasTold()) << "the second one reads";
  role_.Leave(second_);
  EXPECT_TRUE(WasTold());
}

TEST_F(StandInTest, WhoHasWaitedGetsTheRoleFromItAtOnce) {
  role_.TryTake(stand_in_);
  role_.Take(first_);
  role_.Leave(stand_in_);
  EXPECT_TRUE(WasPoked(first_));
  EXPECT_TRUE(role_.Take(first_));
  role_.Leave(first_);
}

TEST_F(StandInTest, AnInterruptIsForItToo) {
  role_.InterruptReader();
  EXPECT_TRUE(WasTold());
  role_.Take(first_);
  role_.InterruptReader();
  EXPECT_TRUE(WasTold());
  EXPECT_EQ(interrupts(), 1);
  role_.Leave(first_);
}

TEST_F(StandInTest, WhoIsItNoMoreIsNotTold) {
  role_.SetStandIn(nullptr);
  role_.InterruptReader();
  role_.Take(first_);
  role_.Leave(first_);
  EXPECT_EQ(heard_.times, 0);
}

}  // namespace
}  // namespace nearcall::session
