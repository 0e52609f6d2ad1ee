// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/call_head.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "base/limits.h"
#include "rpc/client/async_call.h"
#include "unit/rpc/connected.h"
#include "unit/rpc/fake_service.h"
#include "wire/envelope.h"

namespace nearcall::rpc {
namespace {

using testing::Connected;

constexpr internal::MethodInfo kSay =
    internal::MakeMethod("test.Service/Say", internal::MethodKind::kUnary, Priority::kNormal, 0, false);

std::string BytesOf(AsyncCall& call) {
  return {reinterpret_cast<const char*>(call.bytes().data()), call.bytes().size()};
}

// As a call that is sent again elsewhere.
TEST(CallHeadTest, TheNameComesAndGoesWithTheServer) {
  Connected named(0, /*wants_names=*/true);
  Connected plain;
  const CallOptions options = {.metadata = {{"a", "b"}}};
  CallHead head(kSay, options, 1024);
  const testing::Bytes request = testing::MakeBytes("hi");
  ASSERT_TRUE(head.Prepare(&request).ok());
  const std::string metadata = wire::EncodeMetadataEnvelope(options.metadata).value();
  EXPECT_EQ(head.envelope(), metadata);
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(head.Fits(*named.session));
    ASSERT_TRUE(head.FitTo(*named.session).ok());
    EXPECT_TRUE(head.Fits(*named.session));
    EXPECT_EQ(head.envelope(), metadata + wire::EncodeMethodName(kSay.full_name));
    EXPECT_EQ(head.size(), head.envelope().size() + head.payload_size());
    EXPECT_TRUE(head.Header(1).has(wire::kEnvelope));
    ASSERT_TRUE(head.FitTo(*plain.session).ok());
    EXPECT_EQ(head.envelope(), metadata);
    EXPECT_TRUE(head.Fits(*plain.session));
  }
}

TEST(CallHeadTest, WhatIsSerialisedAlreadyIsFittedToo) {
  Connected named(0, /*wants_names=*/true);
  Connected plain;
  for (const std::string& value : {std::string(), std::string("hi")}) {
    CallbackCall call(kSay, {}, 1024, [](internal::Outcome&) {});
    const testing::Bytes request = testing::MakeBytes(value);
    const std::string payload = request.SerializeAsString();
    ASSERT_TRUE(call.Prepare(&request).ok());
    ASSERT_TRUE(call.FitTo(*plain.session).ok());
    EXPECT_EQ(BytesOf(call), payload);
    ASSERT_TRUE(call.FitTo(*named.session).ok());
    EXPECT_EQ(BytesOf(call), wire::EncodeMethodName(kSay.full_name) + payload);
    ASSERT_TRUE(call.FitTo(*plain.session).ok());
    EXPECT_EQ(BytesOf(call), payload);
  }
}

TEST(CallHeadTest, ANameForWhichThereIsNoRoomIsToldHere) {
  Connected named(0, /*wants_names=*/true);
  const CallOptions options = {.metadata = {{"a", std::string(base::kMaxEnvelopeSize - 20, 'x')}}};
  CallHead head(kSay, options, 1024);
  ASSERT_TRUE(head.Prepare(nullptr).ok());
  const absl::Status status = head.FitTo(*named.session);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

TEST(CallHeadTest, ANameThatNoServerTakesIsToldHere) {
  Connected named(0, /*wants_names=*/true);
  const std::string name = "test.Service/" + std::string(base::kMaxMethodNameSize, 'x');
  internal::MethodInfo method = kSay;
  method.full_name = name.c_str();
  const CallOptions options;
  CallHead head(method, options, 1024);
  ASSERT_TRUE(head.Prepare(nullptr).ok());
  EXPECT_EQ(head.FitTo(*named.session).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nearcall::rpc
