// SPDX-License-Identifier: Apache-2.0
#include "session/peer_wait.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "unit/session/link.h"

namespace nearcall::session {
namespace {

class PeerWaitTest : public ::testing::Test {
 protected:
  testing::Link link_ = testing::MakeLink();
  testing::SpyTransport& spy_ = *link_.client_spy;
};

TEST_F(PeerWaitTest, WhoMayNotSpinDoesNotLook) {
  PeerWait wait(spy_, 0);
  int looks = 0;
  EXPECT_FALSE(wait.Spin([&] { return ++looks > 0; }));
  EXPECT_EQ(looks, 0);
}

// What an interrupt tells may have happened just before it could be heard.
TEST_F(PeerWaitTest, WhatIsOverBeforeItSleepsIsSeen) {
  PeerWait wait(spy_, 0);
  wait.Sleep(0, base::kNever, [] { return true; });
  EXPECT_EQ(spy_.waits, 0);
}

TEST_F(PeerWaitTest, SleepsUntilItsTimeAndNoLongerThanASlice) {
  PeerWait wait(spy_, 0);
  const base::SteadyNs start = base::NowNs();
  wait.Sleep(0, start + 2'000'000, [] { return false; });
  EXPECT_GE(base::NowNs(), start + 2'000'000);
  EXPECT_LT(base::NowNs(), start + base::kBusyWaitSliceNs);
  const base::SteadyNs again = base::NowNs();
  wait.Sleep(0, base::kNever, [] { return false; });
  EXPECT_GE(base::NowNs(), again + base::kBusyWaitSliceNs);
  EXPECT_EQ(spy_.waits, 2);
  EXPECT_FALSE(spy_.armed) << "the peer would ring for each frame";
}

TEST_F(PeerWaitTest, ThereIsNoSleepWhenTheRoomIsThere) {
  PeerWait wait(spy_, 0);
  wait.Sleep(spy_.max_frame_size(), base::kNever, [] { return false; });
  EXPECT_EQ(spy_.waits, 0);
}

}  // namespace
}  // namespace nearcall::session
