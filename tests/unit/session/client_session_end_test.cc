// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "nearcall/exec_state.h"
#include "session/client_session.h"
#include "unit/session/client_session_fixture.h"

// How a client's connection ends: the server misbehaves, goes, or says that it will.
namespace nearcall::session {
namespace {

using ::testing::AllOf;
using testing::CallSpec;
using testing::CallThread;
using testing::ClientSessionFullTest;
using testing::ClientSessionTest;
using testing::CodeOf;
using ::testing::Each;
using ::testing::HasSubstr;
using testing::InMs;
using ::testing::IsEmpty;
using testing::MakeCall;
using testing::Received;
using ::testing::SizeIs;
using Kind = transport::ControlMessage::Kind;

// --- the server misbehaves ---

class ClientSessionViolationTest : public ClientSessionTest {
 protected:
  // Two calls are in flight; `misbehave` is the server's answer to the first.
  template <typename Misbehave>
  void ExpectViolation(const std::string& text, Misbehave&& misbehave) {
    auto [thread, request] = StartCall();
    auto [other, other_request] = StartCall({.request = "other"});
    misbehave(request);
    for (CallThread* call : {thread.get(), other.get()}) {
      const absl::Status& status = call->outcome().status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
      EXPECT_THAT(status.message(), AllOf(HasSubstr("protocol violation"), HasSubstr("loop:test"), HasSubstr(text)));
      EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
    }
    EXPECT_FALSE(session_->usable());
    EXPECT_TRUE(server_->IsHungUpOn());
    EXPECT_THAT(Logged(), AllOf(SizeIs(1), Each(HasSubstr(text))));
    WaitingCall late(*session_);
    const auto outcome = MakeCall(*session_, late, {});
    EXPECT_EQ(CodeOf(outcome), absl::StatusCode::kInternal);
    EXPECT_EQ(ExecStateOf(outcome.status()), ExecState::kNotSent);
  }

  // A whole reply to `request`, right in all respects but what the test changes; sent past the outbox.
  wire::FrameHeader RawReply(const Received& request) {
    wire::FrameHeader header = server_->ReplyTo(request);
    header.flags = wire::kFirst | wire::kLast;
    header.source_id = testing::kServerId;
    header.sequence = 1;
    return header;
  }
};

TEST_F(ClientSessionViolationTest, AReplyOfAnotherMethod) {
  ExpectViolation("another method", [&](Received request) {
    request.header.method_id = 1;
    server_->Reply(request, "");
  });
}

TEST_F(ClientSessionViolationTest, ARequestFromTheServer) {
  ExpectViolation("expected a reply", [&](const Received& request) { server_->Send(request.header, ""); });
}

TEST_F(ClientSessionViolationTest, ATooLargeMessageThatIsNoReply) {
  ExpectViolation("expected a reply", [&](const Received& request) {
    wire::FrameHeader header = RawReply(request);
    header.kind = wire::FrameKind::kMessage;
    header.flags = wire::kFirst;
    header.message_size = 5000;
    header.payload_size = 1;
    testing::SendRaw(server_->transport(), header, "x");
  });
}

TEST_F(ClientSessionViolationTest, AnElementForACallThatDoesNotStream) {
  ExpectViolation("expected a reply", [&](const Received& request) {
    wire::FrameHeader header = RawReply(request);
    header.kind = wire::FrameKind::kMessage;
    testing::SendRaw(server_->transport(), header, "");
  });
}

TEST_F(ClientSessionViolationTest, AGapInTheSequence) {
  ExpectViolation("lane 1: expected frame 1, received 2", [&](const Received& request) {
    wire::FrameHeader header = RawReply(request);
    header.sequence = 2;
    testing::SendRaw(server_->transport(), header, "");
  });
}

TEST_F(ClientSessionViolationTest, AFrameFromSomebodyElse) {
  ExpectViolation("source 99", [&](const Received& request) {
    wire::FrameHeader header = RawReply(request);
    header.source_id = 99;
    testing::SendRaw(server_->transport(), header, "");
  });
}

TEST_F(ClientSessionViolationTest, AnUnknownControlMessage) {
  ExpectViolation("control message", [&](const Received&) { server_->SendControl({.kind = static_cast<Kind>(77)}); });
}

TEST_F(ClientSessionTest, AViolationWhileNobodyWaitsIsKnownToTheNextCall) {
  server_->SendControl({.kind = static_cast<Kind>(77)});
  EXPECT_TRUE(server_->IsHungUpOn());
  WaitingCall call(*session_);
  EXPECT_EQ(CodeOf(MakeCall(*session_, call, {})), absl::StatusCode::kInternal);
}

// --- the server goes ---

TEST_F(ClientSessionTest, WhenTheServerIsGoneItsCallsEnd) {
  auto [first, request] = StartCall();
  auto [second, other_request] = StartCall();
  server_->HangUp();
  for (CallThread* thread : {first.get(), second.get()}) {
    EXPECT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kUnavailable);
    EXPECT_EQ(ExecStateOf(thread->outcome().status()), ExecState::kMaybeExecuted);
    EXPECT_THAT(thread->outcome().status().message(), AllOf(HasSubstr("loop:test"), HasSubstr("1234")));
  }
  EXPECT_FALSE(session_->usable());
  WaitingCall call(*session_);
  const auto outcome = MakeCall(*session_, call, {});
  EXPECT_EQ(CodeOf(outcome), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ExecStateOf(outcome.status()), ExecState::kNotSent);
  EXPECT_THAT(Logged(), IsEmpty());
}

TEST_F(ClientSessionTest, TheEndOfTheServerWakesWhoSleeps) {
  spy_->sleeps_until_woken = true;
  auto [thread, request] = StartCall();
  while (spy_->waits == 0) std::this_thread::yield();
  server_->HangUp();
  EXPECT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kUnavailable);
}

TEST_F(ClientSessionTest, WhatTheServerPublishedBeforeItsEndIsDelivered) {
  for (int round = 0; round < 20; ++round) {
    Connect({});
    auto [answered, request] = StartCall();
    auto [unanswered, other_request] = StartCall();
    server_->Reply(request, "last");
    server_->HangUp();
    EXPECT_EQ(*answered->outcome(), "last");
    EXPECT_EQ(CodeOf(unanswered->outcome()), absl::StatusCode::kUnavailable);
  }
}

TEST_F(ClientSessionFullTest, WhatWaitedForRoomWhenTheServerWentWasNotSent) {
  CallThread waiting(session_, {.request = std::string(100, 'q')});
  server_->HangUp();
  EXPECT_EQ(CodeOf(waiting.outcome()), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ExecStateOf(waiting.outcome().status()), ExecState::kNotSent);
  for (auto& filler : fillers_) EXPECT_EQ(ExecStateOf(filler->outcome().status()), ExecState::kMaybeExecuted);
}

// Who repeats a call that is said not to have been sent must not run it twice.
TEST_F(ClientSessionTest, ARequestThatTheServerHasReadIsNeverSaidToBeUnsent) {
  for (int round = 0; round < 200; ++round) {
    Connect({.capacity_frames = 1});
    CallThread reader(session_, {.request = "########", .lane = 3});
    CallThread other(session_, {.request = "12345678"});
    server_->Receive();
    server_->Receive();
    server_->HangUp();
    for (CallThread* thread : {&reader, &other}) {
      ASSERT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kUnavailable);
      ASSERT_EQ(ExecStateOf(thread->outcome().status()), ExecState::kMaybeExecuted) << "round " << round;
    }
  }
}

TEST_F(ClientSessionTest, AfterGoAwayRunningCallsEndInPeace) {
  auto [thread, request] = StartCall();
  EXPECT_TRUE(session_->usable());
  server_->SendControl({.kind = Kind::kGoAway});
  const base::SteadyNs until = testing::Patience();
  while (session_->usable() && base::NowNs() < until) std::this_thread::yield();
  EXPECT_FALSE(session_->usable());
  server_->Reply(request, "in peace");
  EXPECT_EQ(*thread->outcome(), "in peace");
}

// The server waits for that: it cannot know what else has been begun.
TEST_F(ClientSessionTest, AfterGoAwayTheLastCallsEndHangsUp) {
  auto [thread, request] = StartCall();
  auto [other, other_request] = StartCall();
  server_->SendControl({.kind = Kind::kGoAway});
  const base::SteadyNs until = testing::Patience();
  while (session_->usable() && base::NowNs() < until) std::this_thread::yield();
  server_->Reply(request, "one");
  EXPECT_EQ(*thread->outcome(), "one");
  EXPECT_FALSE(server_->IsHungUpOn(0)) << "a call is in flight";
  server_->Reply(other_request, "two");
  EXPECT_EQ(*other->outcome(), "two");
  EXPECT_TRUE(server_->IsHungUpOn());
}

TEST_F(ClientSessionTest, AfterGoAwayWhoHasNoCallHangsUpAtOnce) {
  server_->SendControl({.kind = Kind::kGoAway});
  EXPECT_TRUE(server_->IsHungUpOn());
  WaitingCall call(*session_);
  const absl::Status status = testing::MakeCall(*session_, call, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

// Between the look at the connection and the call, the go-away comes.
TEST_F(ClientSessionTest, AfterGoAwayNoCallBegins) {
  auto [thread, request] = StartCall();
  session_->callers().Retire();
  WaitingCall late(*session_);
  const absl::Status status = testing::MakeCall(*session_, late, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
  EXPECT_FALSE(server_->Receive(testing::InMs(1)));
  server_->Reply(request, "");
  EXPECT_TRUE(thread->outcome().ok());
}

TEST_F(ClientSessionTest, WhoWaitsForAPlaceDoesSoNoMoreAfterGoAway) {
  std::vector<std::unique_ptr<CallThread>> in_flight;
  std::vector<testing::Received> requests;
  for (int i = 0; i < 16; ++i) {
    auto [thread, request] = StartCall();
    in_flight.push_back(std::move(thread));
    requests.push_back(request);
  }
  CallThread waiting(session_, {.request = "late"});
  session_->callers().Retire();
  EXPECT_EQ(ExecStateOf(waiting.outcome().status()), ExecState::kNotSent);
  for (const testing::Received& request : requests) server_->Reply(request, "");
}

TEST_F(ClientSessionTest, ASessionIsDestroyedWhileTheServerTalks) {
  for (int round = 0; round < 50; ++round) {
    Connect({});
    server_->SendControl({.kind = Kind::kGoAway});
    session_.reset();
    EXPECT_TRUE(server_->IsHungUpOn());
  }
}

}  // namespace
}  // namespace nearcall::session
