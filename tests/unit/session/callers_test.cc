// SPDX-License-Identifier: Apache-2.0
#include "session/callers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "nearcall/exec_state.h"
#include "session/completion_queue.h"
#include "unit/session/client.h"
#include "unit/session/link.h"
#include "unit/session/pop_one.h"

namespace nearcall::session {
namespace {

using Begun = Callers::Begun;
using ::testing::HasSubstr;

// A call whose caller does not wait, but looks.
struct TestCall : ClientCall {
  explicit TestCall(size_t of_lane = 1) {
    method_id = testing::kMethod;
    lane = of_lane;
    waiting = &caller;
  }
  bool ended() const { return caller.waiter.finished(); }

  Waiting caller;
};

class CallersTest : public ::testing::Test {
 protected:
  wire::FrameHeader ReplyTo(const ClientCall& call) const {
    wire::FrameHeader header = testing::Header(wire::FrameKind::kReply, call.id, call.lane);
    header.method_id = call.method_id;
    return header;
  }

  // Nothing of it has been sent.
  void EndAndRelease(ClientCall& call) {
    callers_.Fail(call, absl::CancelledError("enough"));
    callers_.NoteUnsent(call.id);
    callers_.Release(call, call.reply.bytes);
  }

  testing::Link link_ = testing::MakeLink();
  testing::LogLines log_;
  ConnectionEnd end_{{"loop:test", "loop", {}}, std::make_shared<base::Logger>(log_.Sink())};
  Outbox outbox_{*link_.client.transport, 1};
  Callers callers_{*link_.client.transport, outbox_, end_, 1, 64};
};

TEST_F(CallersTest, WhoIsTakenOutByItsReplyIsEndedByNobodyElse) {
  TestCall call;
  ASSERT_EQ(callers_.TryBegin(call), Begun::kYes);
  EXPECT_EQ(*callers_.TakeAnswered(ReplyTo(call)), &call);
  EXPECT_EQ(*callers_.TakeAnswered(ReplyTo(call)), nullptr);
  EXPECT_FALSE(callers_.Fail(call, absl::CancelledError("late")));
  EXPECT_TRUE(call.failure.ok());
  callers_.Release(call, call.reply.bytes);
  EXPECT_EQ(callers_.slots().in_use, 0u);
}

TEST_F(CallersTest, AReplyOfAnotherMethodLeavesTheCallToTheEndOfTheConnection) {
  TestCall call;
  ASSERT_EQ(callers_.TryBegin(call), Begun::kYes);
  wire::FrameHeader reply = ReplyTo(call);
  reply.method_id = 1;
  EXPECT_EQ(callers_.TakeAnswered(reply).status().code(), absl::StatusCode::kInternal);
  EXPECT_FALSE(call.ended());
  end_.NoteGone();
  callers_.FailAll();
  EXPECT_TRUE(call.ended());
  EXPECT_EQ(call.failure.code(), absl::StatusCode::kUnavailable);
  callers_.Release(call, call.reply.bytes);
}

TEST_F(CallersTest, WhoWaitsIsToldWhenACallThatWasGivenUpIsAnswered) {
  TestCall running, waiting;
  ASSERT_EQ(callers_.TryBegin(running), Begun::kYes);
  callers_.TryBegin(waiting);
  callers_.Fail(running, absl::CancelledError("enough"));
  callers_.Release(running, running.reply.bytes);
  EXPECT_FALSE(waiting.caller.news);
  EXPECT_EQ(callers_.TryBegin(waiting), Begun::kFull) << "it still runs on the server";
  EXPECT_EQ(*callers_.TakeAnswered(ReplyTo(running)), nullptr);
  EXPECT_TRUE(waiting.caller.news);
  EXPECT_EQ(callers_.TryBegin(waiting), Begun::kYes);
  EndAndRelease(waiting);
}

// Nobody may be there to read the reply, and the server waits for the hang-up.
TEST_F(CallersTest, OnlyCallsThatSomebodyWaitsForKeepAConnectionThatIsGoingAway) {
  TestCall call;
  ASSERT_EQ(callers_.TryBegin(call), Begun::kYes);
  callers_.Fail(call, absl::CancelledError("enough"));
  callers_.Retire();
  EXPECT_FALSE(end_.dead());
  callers_.Release(call, call.reply.bytes);
  EXPECT_TRUE(end_.dead());
}

// Its owner may be reading it already.
TEST_F(CallersTest, OfACallThatHasNotBegunTheFirstFailureStays) {
  TestCall call;
  EXPECT_FALSE(callers_.Fail(call, absl::CancelledError("first")));
  EXPECT_FALSE(callers_.Fail(call, absl::DeadlineExceededError("second")));
  EXPECT_EQ(call.failure.message(), "first");
  EXPECT_EQ(ExecStateOf(call.failure), ExecState::kNotSent);
  EXPECT_EQ(callers_.TryBegin(call), Begun::kEnded);
}

TEST_F(CallersTest, ASlotThatComesBackGoesToTheHighestLane) {
  TestCall running;
  ASSERT_EQ(callers_.TryBegin(running), Begun::kYes);
  TestCall low(0), urgent(3);
  EXPECT_EQ(callers_.TryBegin(low), Begun::kFull);
  EXPECT_EQ(callers_.TryBegin(urgent), Begun::kFull);
  EXPECT_THAT(callers_.WhyFull(), HasSubstr("1 calls to loop:test"));
  EndAndRelease(running);
  EXPECT_TRUE(urgent.caller.news);
  EXPECT_FALSE(low.caller.news);
  EXPECT_EQ(callers_.TryBegin(low), Begun::kFull);
  EXPECT_EQ(callers_.TryBegin(urgent), Begun::kYes);
  EndAndRelease(urgent);
  EXPECT_TRUE(low.caller.news);
  EXPECT_EQ(callers_.TryBegin(low), Begun::kYes);
  EndAndRelease(low);
}

// A queue of many calls takes turns with who makes one call.
TEST_F(CallersTest, WhoHasBegunACallStandsBehindTheOthersForTheNext) {
  TestCall running, other;
  ASSERT_EQ(callers_.TryBegin(running), Begun::kYes);
  CompletionQueue queue;
  TestCall first, second;
  queue.Adopt(first);
  queue.Adopt(second);
  EXPECT_EQ(callers_.TryBegin(first), Begun::kFull);
  EXPECT_EQ(callers_.TryBegin(other), Begun::kFull);
  EndAndRelease(running);
  EXPECT_TRUE(queue.has_news());
  EXPECT_EQ(callers_.TryBegin(first), Begun::kYes);
  EXPECT_EQ(callers_.TryBegin(second), Begun::kFull);
  EndAndRelease(first);
  EXPECT_EQ(callers_.TryBegin(second), Begun::kFull) << "it has overtaken who came before";
  EXPECT_TRUE(other.caller.news);
  EXPECT_EQ(callers_.TryBegin(other), Begun::kYes);
  EndAndRelease(other);
  EXPECT_EQ(callers_.TryBegin(second), Begun::kYes);
  EndAndRelease(second);
  EXPECT_EQ(testing::PopOne(queue), &first);
  EXPECT_EQ(testing::PopOne(queue), &second);
}

TEST_F(CallersTest, WhoLeavesTheLineTellsTheNext) {
  TestCall running, first, second;
  ASSERT_EQ(callers_.TryBegin(running), Begun::kYes);
  callers_.TryBegin(first);
  callers_.TryBegin(second);
  EndAndRelease(running);
  EXPECT_FALSE(second.caller.news);
  callers_.LeaveLine(first.caller);
  EXPECT_TRUE(second.caller.news);
  callers_.LeaveLine(second.caller);
}

// What it was told its owner may read later; the server need not wait for that.
TEST_F(CallersTest, AfterRetireTheLastReplyHangsUp) {
  TestCall call;
  ASSERT_EQ(callers_.TryBegin(call), Begun::kYes);
  callers_.Retire();
  EXPECT_FALSE(end_.dead());
  EXPECT_EQ(*callers_.TakeAnswered(ReplyTo(call)), &call);
  EXPECT_TRUE(end_.dead());
  callers_.Release(call, call.reply.bytes);
}

TEST_F(CallersTest, AfterRetireNoCallBeginsWhoWaitsIsToldAndTheLastHangsUp) {
  TestCall running, waiting;
  ASSERT_EQ(callers_.TryBegin(running), Begun::kYes);
  callers_.TryBegin(waiting);
  callers_.Retire();
  EXPECT_TRUE(waiting.caller.news);
  EXPECT_EQ(callers_.TryBegin(waiting), Begun::kGone);
  callers_.LeaveLine(waiting.caller);
  EXPECT_FALSE(end_.dead());
  EndAndRelease(running);
  EXPECT_TRUE(end_.dead());
}

}  // namespace
}  // namespace nearcall::session
