// SPDX-License-Identifier: Apache-2.0
#include "session/streaming_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>

#include "unit/session/client_session_fixture.h"

namespace nearcall::session {
namespace {

using ::testing::HasSubstr;
using testing::Received;
using Kind = transport::ControlMessage::Kind;

class StreamingCallTest : public testing::ClientSessionTest {
 protected:
  // Opens `call`, and waits until the server knows of it.
  Received Open(StreamingCall& call) {
    call.method_id = testing::kMethod;
    call.lane = 1;
    call.started = base::NowNs();
    call.deadline = testing::Patience();
    EXPECT_TRUE(call.Begin(/*fail_fast=*/false).ok());
    EXPECT_TRUE(call.TrySend(testing::Header(wire::FrameKind::kRequest, call.id, 1), 0, [](std::span<std::byte>) {}));
    return server_->Receive().value_or(Received{});
  }

  static wire::FrameHeader ElementOf(const Received& opening) {
    wire::FrameHeader header = testing::ScriptedPeer::ReplyTo(opening);
    header.kind = wire::FrameKind::kMessage;
    return header;
  }

  static void WaitForTheEnd(StreamingCall& call) { call.Drain(testing::Header(wire::FrameKind::kMessage, call.id, 1)); }
};

// What does not fit is lost, and with it the stream. Its handler must not go on waiting for credit.
TEST_F(StreamingCallTest, AnElementThatIsTooLargeEndsItsCallAndCancelsIt) {
  StreamingCall call(*session_, /*server_streams=*/true);
  const Received opening = Open(call);
  wire::FrameHeader header = ElementOf(opening);
  header.flags = wire::kFirst;
  header.source_id = testing::kServerId;
  header.sequence = 1;
  header.message_size = 5000;
  header.payload_size = 1;
  testing::SendRaw(server_->transport(), header, "x");
  WaitForTheEnd(call);
  EXPECT_EQ(call.failure.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(call.failure.message()), HasSubstr("ChannelOptions::max_message_size"));
  const std::optional<transport::ControlMessage> cancel = server_->ReceiveControl();
  ASSERT_TRUE(cancel);
  EXPECT_EQ(cancel->kind, Kind::kCancel);
  EXPECT_EQ(cancel->call_id, opening.header.call_id);
  call.Release();
}

// The server may answer as soon as it has read the half-close: that is no failure to send it.
TEST_F(StreamingCallTest, WhatWasSentWholeHasBeenSentThoughTheCallHasEndedMeanwhile) {
  StreamingCall call(*session_, /*server_streams=*/true);
  Open(call);
  spy_->before_commit = [&] { std::thread([&] { call.GiveUp(absl::CancelledError("ended")); }).join(); };
  Outgoing half_close(testing::Header(wire::FrameKind::kHalfClose, call.id, 1), 0,
                      session_->transport().max_frame_size());
  EXPECT_TRUE(call.SendElement(half_close));
  EXPECT_TRUE(call.ended());
  Outgoing another(testing::Header(wire::FrameKind::kMessage, call.id, 1), 0, session_->transport().max_frame_size());
  EXPECT_FALSE(call.SendElement(another)) << "nothing of it has been sent";
  spy_->before_commit = nullptr;
  WaitForTheEnd(call);
  call.Release();
}

// Who makes the end of a call wakes the writer first: the end does not stand yet, and nobody else may make it.
TEST_F(StreamingCallTest, AnElementThatWaitsIsTakenBackThoughTheEndDoesNotStandYet) {
  StreamingCall call(*session_, /*server_streams=*/true);
  const Received opening = Open(call);
  spy_->gate_closed = true;
  const wire::FrameHeader header = testing::Header(wire::FrameKind::kMessage, call.id, 1);
  ASSERT_TRUE(call.TrySendElement(header, 0, [](std::span<std::byte>) {})) << "which leaves no room";
  ASSERT_EQ(*session_->callers().TakeAnswered(testing::ScriptedPeer::ReplyTo(opening)), &call);
  call.stream->writing().waiter.Finish();
  Outgoing element(header, 0, session_->transport().max_frame_size());
  EXPECT_FALSE(call.SendElement(element));
  EXPECT_FALSE(session_->outbox().Waits(element));
  EXPECT_FALSE(call.ended());
  call.Complete();
  spy_->gate_closed = false;
  WaitForTheEnd(call);
  EXPECT_TRUE(call.failure.ok());
  call.Release();
}

TEST_F(StreamingCallTest, WhatComesAfterTheReplyIsDropped) {
  for (const wire::FrameKind kind : {wire::FrameKind::kMessage, wire::FrameKind::kCredit}) {
    StreamingCall call(*session_, /*server_streams=*/true);
    const Received opening = Open(call);
    server_->Reply(opening, "end");
    WaitForTheEnd(call);
    call.Release();
    wire::FrameHeader late = ElementOf(opening);
    late.kind = kind;
    late.message_size = 10;  // what a credit says
    server_->SendSome(late, "");
    auto [thread, request] = StartCall();
    server_->Reply(request, "next");
    EXPECT_EQ(*thread->outcome(), "next");
  }
  EXPECT_TRUE(session_->usable());
}

}  // namespace
}  // namespace nearcall::session
