// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server_stage.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

namespace nearcall::rpc {
namespace {

using Drains = ServerStage::Drains;

// Says when it goes.
class FakeTimer final : public transport::Timer {
 public:
  explicit FakeTimer(bool& there) : there_(there) { there_ = true; }
  ~FakeTimer() override { there_ = false; }

 private:
  bool& there_;
};

class ServerStageTest : public ::testing::Test {
 protected:
  void Close(bool nothing_runs) {
    stage_.Close([&] { return nothing_runs; });
  }

  ServerStage stage_;
};

TEST_F(ServerStageTest, AGraceOnlyBecomesShorter) {
  EXPECT_EQ(stage_.Drain(20), Drains::kNow);
  EXPECT_EQ(stage_.Drain(30), Drains::kAlready);
  EXPECT_EQ(stage_.Drain(20), Drains::kAlready);
  EXPECT_EQ(stage_.Drain(10), Drains::kSooner);
  EXPECT_FALSE(stage_.hung_up());
}

TEST_F(ServerStageTest, OnlyWhatDrainsHangsUpAndOnlyWhatHasHungUpCloses) {
  stage_.HangUp();
  EXPECT_FALSE(stage_.hung_up());
  Close(true);
  EXPECT_FALSE(stage_.closed());
  stage_.Drain(10);
  Close(true);
  EXPECT_FALSE(stage_.closed());
  stage_.HangUp();
  EXPECT_TRUE(stage_.hung_up());
  EXPECT_EQ(stage_.Drain(5), Drains::kAlready);
  Close(false);
  EXPECT_FALSE(stage_.closed());
  Close(true);
  EXPECT_TRUE(stage_.closed());
  EXPECT_TRUE(stage_.hung_up());
}

TEST_F(ServerStageTest, WhoWaitsHearsOfTheEnd) {
  stage_.Drain(10);
  stage_.HangUp();
  std::atomic<bool> heard{false};
  std::thread waits([&] {
    stage_.WaitUntilClosed();
    heard = true;
  });
  EXPECT_FALSE(heard);
  Close(true);
  waits.join();
  EXPECT_TRUE(heard);
}

TEST_F(ServerStageTest, KeepsTheTimerOfTheShortestGrace) {
  bool first = false;
  bool late = false;
  bool second = false;
  stage_.Drain(20);
  stage_.KeepTimer(20, std::make_unique<FakeTimer>(first));
  stage_.Drain(10);
  stage_.KeepTimer(20, std::make_unique<FakeTimer>(late));
  EXPECT_TRUE(first);
  EXPECT_FALSE(late);
  stage_.KeepTimer(10, std::make_unique<FakeTimer>(second));
  EXPECT_FALSE(first);
  EXPECT_TRUE(second);
  stage_.StopTimer();
  EXPECT_FALSE(second);
}

}  // namespace
}  // namespace nearcall::rpc
