// SPDX-License-Identifier: Apache-2.0
#include "session/reader_role.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace nearcall::session
