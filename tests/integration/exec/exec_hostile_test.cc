// SPDX-License-Identifier: Apache-2.0

// Programs that do not do what a server does.
#include <string>

#include "exec_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ExecHostileTest : public ExecTest {
 protected:
  // How the first call over a channel to such a program ends.
  absl::Status Call(const std::string& how) {
    // Only one of them lets the time pass.
    const absl::Duration patience = how == "silent" ? absl::Milliseconds(200) : absl::Seconds(20);
    ChannelOptions options = {.handshake_timeout = patience, .lazy = true};
    options.exec.argv = {"hostile_child", how};
    const auto channel = Connect(std::move(options), "exec:" HOSTILE_CHILD);
    return Ask(channel, "hi").status();
  }
};

TEST_F(ExecHostileTest, WhatItSaysIsNoHello) {
  EXPECT_THAT(Call("garbage"), FailsWith(StatusCode::kInternal, ""));
}

TEST_F(ExecHostileTest, WhatItPassesIsNoTransport) {
  EXPECT_THAT(Call("descriptors"), FailsWith(StatusCode::kInternal, ""));
}

TEST_F(ExecHostileTest, ItHangsUpAndLivesOn) {
  EXPECT_THAT(Call("hang-up"), FailsWith(StatusCode::kUnavailable, "hung up during the handshake"));
}

TEST_F(ExecHostileTest, ItSaysNothingAndDoesNotListen) {
  EXPECT_THAT(Call("silent"), FailsWith(StatusCode::kDeadlineExceeded, "has not answered in time"));
}

TEST_F(ExecHostileTest, AnotherProcessAnswers) {
  EXPECT_THAT(Call("impostor"), FailsWith(StatusCode::kPermissionDenied, "and the program that was started is"));
}

}  // namespace
}  // namespace nearcall::integration
