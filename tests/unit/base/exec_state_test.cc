// SPDX-License-Identifier: Apache-2.0
#include "base/exec_state.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"

namespace nearcall::base {
namespace {

TEST(ExecStateTest, IsReadBack) {
  for (const ExecState state :
       {ExecState::kNotSent, ExecState::kNotStarted, ExecState::kMaybeExecuted, ExecState::kExecuted}) {
    EXPECT_EQ(ExecStateOf(WithExecState(absl::UnavailableError("x"), state)), state);
  }
}

TEST(ExecStateTest, TheLastOneCounts) {
  const absl::Status status = WithExecState(absl::UnavailableError("x"), ExecState::kNotSent);
  EXPECT_EQ(ExecStateOf(WithExecState(status, ExecState::kExecuted)), ExecState::kExecuted);
}

TEST(ExecStateTest, LeavesTheStatusAsItWas) {
  const absl::Status status = WithExecState(absl::UnavailableError("text"), ExecState::kNotSent);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "text");
}

TEST(ExecStateTest, OkIsExecuted) {
  EXPECT_EQ(ExecStateOf(absl::OkStatus()), ExecState::kExecuted);
  EXPECT_EQ(WithExecState(absl::OkStatus(), ExecState::kNotSent), absl::OkStatus());
}

TEST(ExecStateTest, WithoutAKnownStateItMayHaveBeenExecuted) {
  EXPECT_EQ(ExecStateOf(absl::UnavailableError("x")), ExecState::kMaybeExecuted);
  for (const char* unknown : {"", "4", "/", "00", "x"}) {
    absl::Status status = absl::UnavailableError("x");
    status.SetPayload(kExecStateUrl, absl::Cord(unknown));
    EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted) << unknown;
  }
}

}  // namespace
}  // namespace nearcall::base
