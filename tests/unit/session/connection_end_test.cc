// SPDX-License-Identifier: Apache-2.0
#include "session/connection_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "unit/session/client.h"

namespace nearcall::session {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CountingControl final : public transport::ControlChannel {
 public:
  explicit CountingControl(int& hang_ups) : hang_ups_(hang_ups) {}
  void Send(const transport::ControlMessage&) override {}
  void HangUp() override { ++hang_ups_; }

 private:
  int& hang_ups_;
};

class ConnectionEndTest : public ::testing::Test {
 protected:
  void Attach() { end_.Attach(std::make_unique<CountingControl>(hang_ups_)); }

  std::vector<std::string> Logged() {
    logger_->Flush();
    return log_.all();
  }

  int hang_ups_ = 0;
  testing::LogLines log_;
  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>(log_.Sink());
  ConnectionEnd end_{{"shm:echo", "shm", {.pid = 12, .uid = 3, .gid = 4}}, logger_};
};

TEST_F(ConnectionEndTest, AtFirstItIsUsable) {
  Attach();
  EXPECT_TRUE(end_.usable());
  EXPECT_EQ(hang_ups_, 0);
}

TEST_F(ConnectionEndTest, WhoIsGoingAwayTakesNoNewCallsAndIsNotDead) {
  end_.NoteGoingAway();
  EXPECT_FALSE(end_.usable());
  EXPECT_FALSE(end_.dead());
}

TEST_F(ConnectionEndTest, AGoneServerIsDeadAndTheTextSaysWhich) {
  Attach();
  end_.NoteGone();
  EXPECT_TRUE(end_.dead());
  EXPECT_FALSE(end_.broken());
  EXPECT_EQ(end_.Failure(), absl::UnavailableError("the server at shm:echo (pid 12, shm) has gone away"));
  EXPECT_THAT(Logged(), IsEmpty());
}

TEST_F(ConnectionEndTest, TheFirstViolationCountsAndIsLoggedAndHungUpOnOnce) {
  Attach();
  EXPECT_TRUE(end_.Break(absl::InternalError("one")));
  EXPECT_FALSE(end_.Break(absl::InternalError("two")));
  EXPECT_TRUE(end_.broken());
  EXPECT_EQ(hang_ups_, 1);
  EXPECT_THAT(Logged(), ElementsAre(AllOf(HasSubstr("the server at shm:echo (pid 12, shm): one"))));
  EXPECT_EQ(end_.Failure().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(end_.Failure().message(), HasSubstr("one"));
}

// The monitor may report something before there is a socket to hang up.
TEST_F(ConnectionEndTest, WhatEndedBeforeTheControlSocketWasThereIsHungUpWhenItComes) {
  EXPECT_TRUE(end_.Break(absl::InternalError("early")));
  Attach();
  EXPECT_EQ(hang_ups_, 1);
}

TEST_F(ConnectionEndTest, AHangUpOfThisSideIsAnEndToo) {
  Attach();
  end_.HangUp();
  EXPECT_TRUE(end_.dead());
  EXPECT_EQ(hang_ups_, 1);
}

}  // namespace
}  // namespace nearcall::session
