// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/stream_attempt.h"

#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "base/clock.h"
#include "unit/rpc/connected.h"

namespace nearcall::rpc {
namespace {

using session::testing::Received;

class StreamAttemptTest : public ::testing::Test {
 protected:
  void Begin(const CallOptions& options = {}) {
    head_.emplace(testing::kChat, options, 1024);
    ASSERT_TRUE(head_->Prepare(nullptr).ok());
    attempt_.emplace(server_.session, *head_);
    ASSERT_TRUE(attempt_->Begin(nullptr).ok());
    ASSERT_TRUE(server_.server.Receive());  // the opening
  }

  testing::Connected server_{/*stream_window=*/1024};
  std::optional<CallHead> head_;
  std::optional<StreamAttempt> attempt_;
};

TEST_F(StreamAttemptTest, SendsElementsAndAHalfClose) {
  Begin();
  google::protobuf::StringValue element;
  element.set_value("one");
  ASSERT_TRUE(attempt_->call.BeginElement(element.ByteSizeLong(), /*fail_fast=*/true));
  EXPECT_TRUE(attempt_->Send(attempt_->element, element, element.ByteSizeLong()));
  EXPECT_TRUE(attempt_->HalfClose());
  const std::optional<Received> sent = server_.server.Receive();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->header.kind, wire::FrameKind::kMessage);
  EXPECT_EQ(sent->payload, element.SerializeAsString());
  const std::optional<Received> half_close = server_.server.Receive();
  ASSERT_TRUE(half_close);
  EXPECT_EQ(half_close->header.kind, wire::FrameKind::kHalfClose);
  EXPECT_EQ(half_close->header.call_id, sent->header.call_id);
  attempt_->call.Fail(absl::CancelledError("over"));
}

TEST_F(StreamAttemptTest, ItEndsAtItsDeadline) {
  CallOptions options;
  options.timeout = absl::Milliseconds(200);
  Begin(options);
  while (!attempt_->EndIfLate()) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_TRUE(attempt_->call.given_up());
  EXPECT_GE(base::NowNs(), head_->deadline());
  attempt_->call.Fail(absl::CancelledError("over"));
}

}  // namespace
}  // namespace nearcall::rpc
