// SPDX-License-Identifier: Apache-2.0
#include "session/client_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "nearcall/exec_state.h"
#include "unit/session/client_session_fixture.h"

namespace nearcall::session {
namespace {

using testing::CallSpec;
using testing::CallThread;
using testing::ClientSessionFullTest;
using testing::ClientSessionTest;
using testing::CodeOf;
using ::testing::HasSubstr;
using testing::InMs;
using testing::MakeCall;
using testing::Received;
using Kind = transport::ControlMessage::Kind;

// --- a call ---

TEST_F(ClientSessionTest, AReplyEndsItsCall) {
  auto [thread, request] = StartCall({.request = "hello", .lane = 2});
  EXPECT_EQ(request.payload, "hello");
  EXPECT_EQ(request.header.priority, 2);
  server_->Reply(request, "world");
  EXPECT_EQ(*thread->outcome(), "world");
}

TEST_F(ClientSessionTest, MessagesOfAnySizeGoBothWays) {
  for (const size_t size : {0u, 1u, 7u, 8u, 9u, 15u, 16u, 17u, 100u, 1000u}) {
    auto [thread, request] = StartCall({.request = std::string(size, 'q')});
    EXPECT_EQ(request.payload, std::string(size, 'q'));
    server_->Reply(request, std::string(size, 'r'));
    EXPECT_EQ(*thread->outcome(), std::string(size, 'r'));
  }
}

TEST_F(ClientSessionTest, AReplyOverTheLimitEndsItsCallOnly) {
  auto [thread, request] = StartCall();
  server_->SendSome(server_->ReplyTo(request), std::string(4097, 'r'));
  EXPECT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(thread->outcome().status().message(), HasSubstr("4097 B"));
  EXPECT_EQ(ExecStateOf(thread->outcome().status()), ExecState::kExecuted);
  ExpectThatACallWorks();
}

TEST_F(ClientSessionTest, TheServerGrantsFewerCallsThanTheClientWants) {
  Connect({.max_calls_in_flight = 1});
  auto [thread, request] = StartCall();
  WaitingCall second(*session_);
  EXPECT_EQ(CodeOf(MakeCall(*session_, second, {.fail_fast = true})), absl::StatusCode::kResourceExhausted);
  server_->Reply(request, "");
}

// --- many calls, one reader ---

TEST_F(ClientSessionTest, EachCallGetsItsOwnReplyInAnyOrder) {
  std::vector<size_t> order(4);
  std::iota(order.begin(), order.end(), 0);
  do {
    std::vector<std::unique_ptr<CallThread>> threads;
    std::vector<Received> requests;
    for (size_t i = 0; i < order.size(); ++i) {
      auto [thread, request] = StartCall({.request = std::to_string(i)});
      threads.push_back(std::move(thread));
      requests.push_back(std::move(request));
    }
    for (const size_t i : order) {
      server_->Reply(requests[i], "re: " + requests[i].payload);
      EXPECT_EQ(*threads[i]->outcome(), "re: " + std::to_string(i));
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(ClientSessionTest, ManyThreadsMakeManyCalls) {
  constexpr int kThreads = 8;
  constexpr int kCalls = 200;
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < kCalls; ++j) {
        WaitingCall call(*session_);
        const std::string text = std::to_string(i * kCalls + j) + std::string(static_cast<size_t>(j % 30), '.');
        const auto outcome = MakeCall(*session_, call, {.request = text, .lane = static_cast<size_t>(i % 4)});
        if (outcome.ok() && *outcome == "re: " + text) ++right;
      }
    });
  }
  // Answers in bunches and out of order.
  std::deque<Received> open;
  for (int answered = 0; answered < kThreads * kCalls;) {
    auto request = server_->Receive(open.empty() ? testing::Patience() : base::NowNs());
    if (request) open.push_back(*std::move(request));
    if (request && open.size() < 4) continue;
    ASSERT_FALSE(open.empty());
    server_->Reply(open.back(), "re: " + open.back().payload);
    open.pop_back();
    ++answered;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right.load(), kThreads * kCalls);
}

// The one who reads must not stop because his own time is up, and the others must not lose their replies.
TEST_F(ClientSessionTest, WhenTheReadersTimeIsUpAnotherReads) {
  auto [reader, unanswered] = StartCall({.request = "reader", .deadline = InMs(20)});
  auto [other, request] = StartCall({.request = "other"});
  EXPECT_EQ(CodeOf(reader->outcome()), absl::StatusCode::kDeadlineExceeded);
  server_->Reply(request, "here");
  EXPECT_EQ(*other->outcome(), "here");
}

TEST_F(ClientSessionTest, WhenTheReaderIsCancelledAnotherReads) {
  auto [reader, unanswered] = StartCall({.request = "reader"});
  auto [other, request] = StartCall({.request = "other"});
  session_->Cancel(reader->call());
  EXPECT_EQ(CodeOf(reader->outcome()), absl::StatusCode::kCancelled);
  server_->Reply(request, "here");
  EXPECT_EQ(*other->outcome(), "here");
}

// --- back-pressure ---

TEST_F(ClientSessionTest, WhoWaitsForRoomReads) {
  auto [first, request] = StartCall({.request = "first"});
  CallThread second(session_, {.request = std::string(2000, 'q')});
  const base::SteadyNs start = base::NowNs();
  // The server reads nothing of the second call until all of this is gone.
  server_->Reply(request, std::string(2000, 'r'));
  EXPECT_EQ(*first->outcome(), std::string(2000, 'r'));
  const auto large = server_->Receive();
  ASSERT_TRUE(large);
  EXPECT_EQ(large->payload, std::string(2000, 'q'));
  server_->Reply(*large, "done");
  EXPECT_EQ(*second.outcome(), "done");
  // Each of 250 frames would take a slice of 100 ms if it did not wake who waits for it.
  EXPECT_LT(base::NowNs() - start, 10 * base::kBusyWaitSliceNs);
}

TEST_F(ClientSessionTest, SmallCallsPassALargeOneOfTheirLane) {
  auto [reader, held] = StartCall({.request = "reader"});
  CallThread large(session_, {.request = std::string(400, 'q')});
  CallThread small(session_, {.request = "small"});
  std::vector<std::string> sizes;
  for (int i = 0; i < 2; ++i) {
    const auto request = server_->Receive();
    ASSERT_TRUE(request);
    server_->Reply(*request, "ok");
  }
  EXPECT_EQ(*large.outcome(), "ok");
  EXPECT_EQ(*small.outcome(), "ok");
  server_->Reply(held, "");
}

// The transport has taken a part of a frame. Its sender waits for the reply then, as the reader does, who was asleep
// before.
TEST_F(ClientSessionTest, WhatTheTransportHasNotTakenYetIsFlushedByTheReader) {
  auto [reader, held] = StartCall({.request = "reader"});
  int64_t fastest = base::kNever;
  for (int i = 0; i < 5; ++i) {
    spy_->gate_closed = true;
    CallThread other(session_, {.request = "other"});
    const base::SteadyNs until = testing::Patience();
    while (!spy_->is_keeping() && base::NowNs() < until) std::this_thread::yield();
    const base::SteadyNs start = base::NowNs();
    spy_->gate_closed = false;
    const auto request = server_->Receive();
    ASSERT_TRUE(request);
    fastest = std::min(fastest, base::NowNs() - start);
    server_->Reply(*request, "ok");
    EXPECT_EQ(*other.outcome(), "ok");
  }
  EXPECT_LT(fastest, base::kBusyWaitSliceNs / 4) << "the reader slept a whole slice";
  server_->Reply(held, "");
}

TEST_F(ClientSessionFullTest, FailFastSaysSoAtOnceAndSendsNothing) {
  WaitingCall call(*session_);
  const auto outcome = MakeCall(*session_, call, {.request = "12345678", .fail_fast = true});
  EXPECT_EQ(CodeOf(outcome), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ExecStateOf(outcome.status()), ExecState::kNotSent);
  EXPECT_THAT(outcome.status().message(), HasSubstr("loop:test"));
  AnswerFillers();
  ExpectThatACallWorks();
}

TEST_F(ClientSessionFullTest, ADeadlineEndsTheWaitForRoom) {
  WaitingCall call(*session_);
  const auto outcome = MakeCall(*session_, call, {.request = "12345678", .deadline = InMs(5)});
  EXPECT_EQ(CodeOf(outcome), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ExecStateOf(outcome.status()), ExecState::kNotSent);
  AnswerFillers();
  ExpectThatACallWorks();
}

TEST_F(ClientSessionFullTest, ACallThatWaitsForRoomGoesWhenThereIs) {
  CallThread waiting(session_, {.request = "12345678"});
  AnswerFillers();
  const auto request = server_->Receive();
  ASSERT_TRUE(request);
  server_->Reply(*request, "ok");
  EXPECT_EQ(*waiting.outcome(), "ok");
}

// The server may not be reading, and nobody else may know it.
TEST_F(ClientSessionFullTest, ACallThatWaitsForRoomRings) {
  WaitingCall call(*session_);
  for (auto& filler : fillers_) session_->Cancel(filler->call());
  for (auto& filler : fillers_) EXPECT_FALSE(filler->outcome().ok());
  const int before = spy_->rings;
  EXPECT_FALSE(MakeCall(*session_, call, {.request = "12345678", .deadline = InMs(50)}).ok());
  EXPECT_GT(spy_->rings, before);
}

// --- deadlines ---

TEST_F(ClientSessionTest, ADeadlineEndsACallWithoutReply) {
  const base::SteadyNs deadline = InMs(5);
  auto [thread, request] = StartCall({.deadline = deadline});
  EXPECT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(base::NowNs(), deadline);
  EXPECT_EQ(ExecStateOf(thread->outcome().status()), ExecState::kMaybeExecuted);
}

TEST_F(ClientSessionTest, AReplyThatComesTooLateIsIgnored) {
  auto [thread, request] = StartCall({.deadline = InMs(5)});
  EXPECT_FALSE(thread->outcome().ok());
  server_->SendSome(server_->ReplyTo(request), "late");
  server_->SendSome(server_->ReplyTo(request), "late, and twice");
  ExpectThatACallWorks();
}

// A server that never stops sending must not keep a call beyond its deadline. In pipes and queues there is room again
// for each frame that was taken.
TEST_F(ClientSessionTest, ADeadlineEndsACallWhateverElseComes) {
  wire::FrameHeader nobodys = testing::Header(wire::FrameKind::kReply, 99 << 16, 1);
  const base::SteadyNs give_up = InMs(5000);
  spy_->before_peek = [&] {
    spy_->Release();
    if (base::NowNs() < give_up) server_->outbox().TrySend(nobodys, 0, [](std::span<std::byte>) {});
  };
  auto [thread, request] = StartCall({.deadline = InMs(50)});
  EXPECT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(base::NowNs(), give_up);
}

// --- cancelling ---

TEST_F(ClientSessionTest, CancelEndsTheCallAndTellsTheServer) {
  auto [thread, request] = StartCall();
  session_->Cancel(thread->call());
  EXPECT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kCancelled);
  EXPECT_EQ(ExecStateOf(thread->outcome().status()), ExecState::kMaybeExecuted);
  const auto control = server_->ReceiveControl();
  ASSERT_TRUE(control);
  EXPECT_EQ(control->kind, Kind::kCancel);
  EXPECT_EQ(control->call_id, request.header.call_id);
  server_->SendSome(server_->ReplyTo(request), "late");
  ExpectThatACallWorks();
}

TEST_F(ClientSessionTest, CancelBeforeBeginSendsNothing) {
  WaitingCall call(*session_);
  session_->Cancel(call);
  const absl::Status begun = call.Begin(false);
  EXPECT_EQ(begun.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ExecStateOf(begun), ExecState::kNotSent);
  ExpectThatACallWorks();
}

TEST_F(ClientSessionTest, CancelAfterTheEndIsHarmless) {
  WaitingCall call(*session_);
  call.deadline = testing::Patience();
  ASSERT_TRUE(call.Begin(false).ok());
  session_->Cancel(call);
  session_->Cancel(call);
  call.Wait();
  EXPECT_EQ(call.failure.code(), absl::StatusCode::kCancelled);
  call.Release();
}

TEST_F(ClientSessionTest, ACallCancelledBeforeItIsSentIsNotSent) {
  WaitingCall call(*session_);
  call.deadline = testing::Patience();
  ASSERT_TRUE(call.Begin(false).ok());
  session_->Cancel(call);
  EXPECT_FALSE(call.TrySend(testing::Header(wire::FrameKind::kRequest, call.id, 1), 0, [](std::span<std::byte>) {}));
  call.Wait();
  EXPECT_EQ(ExecStateOf(call.failure), ExecState::kNotSent);
  call.Release();
  ExpectThatACallWorks();
}

TEST_F(ClientSessionTest, CancelInTheMiddleOfALargeRequestAbortsIt) {
  CallThread large(session_, {.request = std::string(1000, 'q')});
  const base::SteadyNs until = testing::Patience();
  size_t size;
  while (server_->transport().Peek(size) == transport::Transport::ReadState::kEmpty && base::NowNs() < until) {
    std::this_thread::yield();
  }
  session_->Cancel(large.call());
  EXPECT_EQ(CodeOf(large.outcome()), absl::StatusCode::kCancelled);
  // The lane is free for the next large request.
  CallThread next(session_, {.request = std::string(500, 'n')});
  const auto request = server_->Receive();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->payload, std::string(500, 'n'));
  server_->Reply(*request, "ok");
  EXPECT_EQ(*next.outcome(), "ok");
}

// --- places ---

class ClientSessionPlacesTest : public ClientSessionTest {
 protected:
  ClientSessionPlacesTest() : ClientSessionTest({.max_frame_size = 200, .max_calls_in_flight = 2}) {}

  // Takes a place without sending anything.
  void Take(WaitingCall& call) {
    call.deadline = testing::Patience();
    EXPECT_TRUE(call.Begin(true).ok());
  }

  void GiveBack(WaitingCall& call) {
    session_->Cancel(call);
    call.Wait();
    call.Release();
  }
};

TEST_F(ClientSessionPlacesTest, WithoutAPlaceFailFastSaysSoAtOnce) {
  WaitingCall first(*session_), second(*session_), third(*session_);
  Take(first);
  Take(second);
  EXPECT_EQ(third.Begin(true).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ExecStateOf(third.failure), ExecState::kNotSent);
  GiveBack(first);
  WaitingCall fourth(*session_);
  Take(fourth);
  GiveBack(second);
  GiveBack(fourth);
}

TEST_F(ClientSessionPlacesTest, ADeadlineEndsTheWaitForAPlace) {
  WaitingCall first(*session_), second(*session_), third(*session_);
  Take(first);
  Take(second);
  third.deadline = InMs(5);
  EXPECT_EQ(third.Begin(false).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ExecStateOf(third.failure), ExecState::kNotSent);
  GiveBack(first);
  GiveBack(second);
}

TEST_F(ClientSessionPlacesTest, CancelEndsTheWaitForAPlace) {
  WaitingCall first(*session_), second(*session_);
  Take(first);
  Take(second);
  CallThread third(session_, {});
  session_->Cancel(third.call());
  EXPECT_EQ(CodeOf(third.outcome()), absl::StatusCode::kCancelled);
  EXPECT_EQ(ExecStateOf(third.outcome().status()), ExecState::kNotSent);
  GiveBack(first);
  GiveBack(second);
}

TEST_F(ClientSessionPlacesTest, PlacesThatAreGivenBackAtOnceGoToAllWhoWait) {
  for (int round = 0; round < 20; ++round) {
    WaitingCall first(*session_), second(*session_);
    Take(first);
    Take(second);
    WaitingCall waiting[2] = {WaitingCall(*session_), WaitingCall(*session_)};
    std::vector<std::thread> threads;
    for (WaitingCall& call : waiting) {
      call.deadline = InMs(3000);
      threads.emplace_back([&] {
        EXPECT_TRUE(call.Begin(false).ok());
        EXPECT_LT(base::NowNs(), call.deadline) << "it found the place by looking at the clock";
      });
    }
    ::poll(nullptr, 0, 2);  // so that both are likely to wait; it must hold in any case
    session_->Cancel(first);
    session_->Cancel(second);
    first.Release();
    second.Release();
    for (std::thread& thread : threads) thread.join();
    ASSERT_FALSE(HasFailure());
    for (WaitingCall& call : waiting) GiveBack(call);
  }
}

TEST_F(ClientSessionPlacesTest, WhenTheServerIsGoneWhoWaitsForAPlaceIsTold) {
  auto [first, request] = StartCall();
  auto [second, other_request] = StartCall();
  CallThread third(session_, {});
  CallThread fourth(session_, {});
  server_->HangUp();
  for (CallThread* thread : {first.get(), second.get(), &third, &fourth}) {
    EXPECT_EQ(CodeOf(thread->outcome()), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(ExecStateOf(third.outcome().status()), ExecState::kNotSent);
  EXPECT_EQ(ExecStateOf(fourth.outcome().status()), ExecState::kNotSent);
}

// --- the watchdog ---

TEST_F(ClientSessionTest, RingsAgainAndAgainForACallThatGetsNoReply) {
  auto [thread, request] = StartCall();
  const base::SteadyNs until = testing::Patience();
  while (spy_->rings < 3 && base::NowNs() < until) std::this_thread::yield();
  const int rings = spy_->rings;
  EXPECT_GE(rings, 3);
  // Twice as late each time, from kWatchdogMinNs on.
  EXPECT_GE(base::NowNs() - thread->call().started, base::kWatchdogMinNs << (rings - 1));
  server_->Reply(request, "ok");
  EXPECT_TRUE(thread->outcome().ok());
}

TEST_F(ClientSessionTest, OverATransportThatCannotRingTheControlSocketSaysIt) {
  spy_->can_ring = false;
  auto [thread, request] = StartCall();
  const auto control = server_->ReceiveControl();
  ASSERT_TRUE(control);
  EXPECT_EQ(control->kind, transport::ControlMessage::Kind::kRing);
  server_->Reply(request, "ok");
}

TEST_F(ClientSessionTest, WhoDoesNotReadRingsToo) {
  auto [reader, unanswered] = StartCall();
  auto [other, request] = StartCall();
  const base::SteadyNs until = testing::Patience();
  while (spy_->rings < 2 && base::NowNs() < until) std::this_thread::yield();
  EXPECT_GE(spy_->rings, 2);
  server_->Reply(request, "");
  server_->Reply(unanswered, "");
}

}  // namespace
}  // namespace nearcall::session
