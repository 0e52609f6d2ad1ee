// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/vain_wakes.h"

#include <gtest/gtest.h>

namespace nearcall::transport::shm {
namespace {

class VainWakesTest : public ::testing::Test {
 protected:
  // How many rings with nothing to see are listened to from now on.
  int CountHeard() {
    int heard = 0;
    while (!wakes_.too_many()) {
      wakes_.Arm();
      wakes_.NoteWait(/*by_ring=*/true);
      ++heard;
    }
    return heard;
  }

  ControlPage peer_{};
  VainWakes wakes_{peer_};
};

TEST_F(VainWakesTest, OneWhoRingsWithoutEndIsNotListenedTo) {
  EXPECT_EQ(CountHeard(), 1001);
}

TEST_F(VainWakesTest, AReasonMakesHonest) {
  CountHeard();
  wakes_.Arm();
  peer_.tail.store(1);
  wakes_.NoteWait(/*by_ring=*/true);
  EXPECT_EQ(CountHeard(), 1001);
  wakes_.Arm();
  peer_.head.store(1);
  wakes_.NoteWait(/*by_ring=*/true);
  EXPECT_FALSE(wakes_.too_many());
}

TEST_F(VainWakesTest, SoDoesAWaitThatHadItsTime) {
  CountHeard();
  wakes_.Arm();
  wakes_.NoteWait(/*by_ring=*/false);
  EXPECT_EQ(CountHeard(), 1001);
}

TEST_F(VainWakesTest, AQuietNapIsAReasonToListenForAMoment) {
  CountHeard();
  wakes_.NoteQuietNap();
  EXPECT_EQ(CountHeard(), 11);
}

}  // namespace
}  // namespace nearcall::transport::shm
