// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/open_stream_call.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "rpc/client/async_calls.h"
#include "rpc/client/held_call.h"
#include "rpc/client/side.h"
#include "session/completion_queue.h"
#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"
#include "unit/session/pop_one.h"

namespace nearcall::rpc {
namespace {

using internal::Tried;
using testing::MakeBytes;

constexpr internal::MethodInfo kMethod =
    internal::MakeMethod("test.Service/Chat", internal::MethodKind::kBidiStreaming, Priority::kNormal, 0, false);

// A channel that is told of calls that go elsewhere.
class FakeOwner final : public AsyncCalls::Owner {
 public:
  std::promise<std::shared_ptr<AsyncCall>> elsewhere;

  std::optional<absl::StatusOr<AsyncCalls::SessionPtr>> Connect(base::SteadyNs, std::function<void()>) override {
    return absl::UnavailableError("there is no other server");
  }
  bool StartElsewhere(const std::shared_ptr<AsyncCall>& call) override {
    elsewhere.set_value(call);
    return true;
  }
};

// Keeps the thread that runs it.
class Keeping final : public internal::Operation {
 public:
  Keeping() : Operation([](Operation& operation) { static_cast<Keeping&>(operation).Keep(); }) {}
  void WaitUntilItKeeps() { keeps_.get_future().wait(); }
  void LetGo() { let_go_.set_value(); }

 private:
  void Keep() {
    keeps_.set_value();
    let_go_.get_future().wait();
  }

  std::promise<void> keeps_;
  std::promise<void> let_go_;
};

class OpenCallTest : public ::testing::Test {
 protected:
  OpenCallTest()
      : link_(session::testing::MakeLink({.max_frame_size = 1024})),
        session_(*session::ClientSession::Start(WithWindow(std::move(link_.client)),
                                                {.max_message_size = 1024,
                                                 .max_calls_in_flight = 8,
                                                 .max_queued_bytes = 1024,
                                                 .max_spin_ns = 0,
                                                 .stream_window = 1000},
                                                logger_, "loop:test")),
        server_(std::move(link_.server)),
        calls_(std::make_shared<AsyncCalls>(owner_, ChannelOptions(), /*reactor=*/nullptr, logger_, session_)) {
    EXPECT_TRUE(call_->Prepare(nullptr).ok());
    EXPECT_EQ(calls_->Start(call_), AsyncCalls::Started::kInFlight);
    request_ = *server_.Receive();
  }
  ~OpenCallTest() override { calls_->Stop(); }

  static transport::Connection WithWindow(transport::Connection connection) {
    connection.peer_terms.stream_window = 1000;
    return connection;
  }

  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>([](LogSeverity, absl::string_view) {});
  session::testing::Link link_;
  AsyncCalls::SessionPtr session_;
  session::testing::ScriptedPeer server_;
  FakeOwner owner_;
  Keeping keeping_;  // until the channel's thread has ended
  const std::shared_ptr<AsyncCalls> calls_;
  const std::shared_ptr<OpenStreamCall> call_ = std::make_shared<OpenStreamCall>(kMethod, CallOptions(), 1024);
  session::testing::Received request_;
};

TEST_F(OpenCallTest, GoesElsewhereWhileNothingButTheOpeningWasSent) {
  auto elsewhere = owner_.elsewhere.get_future();
  server_.TurnAway(request_);
  ASSERT_EQ(elsewhere.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(elsewhere.get(), call_);
  // It is not open anywhere: what is written waits.
  EXPECT_EQ(call_->TryWrite(MakeBytes("x"), false), Tried::kNotYet);
}

TEST_F(OpenCallTest, ACancelWhileItIsWithNobodyIsNotForgotten) {
  auto elsewhere = owner_.elsewhere.get_future();
  server_.TurnAway(request_);
  ASSERT_EQ(elsewhere.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  call_->Cancel();
  bool cancelled = false;
  call_->ListenForStop([&] { cancelled = true; });
  EXPECT_TRUE(cancelled);
  call_->StopListening();
}

TEST_F(OpenCallTest, EndsOnceAnElementWasSent) {
  auto elsewhere = owner_.elsewhere.get_future();
  ASSERT_EQ(call_->TryWrite(MakeBytes("x"), false), Tried::kDone);
  std::promise<void> told;
  class Telling final : public internal::Operation {
   public:
    explicit Telling(std::promise<void>& to)
        : Operation([](Operation& operation) { static_cast<Telling&>(operation).told_.set_value(); }), told_(to) {}

   private:
    std::promise<void>& told_;
  } telling(told);
  ASSERT_TRUE(call_->reading().When(telling));
  server_.TurnAway(request_);
  told.get_future().wait();
  HeldCall held(call_);
  absl::Status status;
  ASSERT_EQ(held.TryFinish(nullptr, status), Tried::kDone);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(elsewhere.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
}

TEST_F(OpenCallTest, EndsOnceAHalfCloseWasSent) {
  auto elsewhere = owner_.elsewhere.get_future();
  HeldCall held(call_);
  ASSERT_TRUE(held.WritesDone());
  server_.TurnAway(request_);
  absl::Status status;
  while (held.TryFinish(nullptr, status) == Tried::kNotYet) std::this_thread::yield();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(elsewhere.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
}

// Its reader may know that it is cancelled before the server and the channel's thread do, and finishes it.
TEST_F(OpenCallTest, WhatIsGivenUpIsNotHalfClosed) {
  HeldCall held(call_);
  ASSERT_TRUE(call_->reading().When(keeping_));
  wire::FrameHeader element = server_.ReplyTo(request_);
  element.kind = wire::FrameKind::kMessage;
  server_.Send(element, "x");
  keeping_.WaitUntilItKeeps();
  call_->GiveUp(*session_, absl::CancelledError("given up"));
  EXPECT_FALSE(held.WritesDone());
  EXPECT_FALSE(server_.Receive(base::NowNs()).has_value());
  keeping_.LetGo();
}

// ---- one side of it ----

class Counting final : public internal::Operation {
 public:
  Counting() : Operation([](Operation& operation) { ++static_cast<Counting&>(operation).runs; }) {}
  int runs = 0;
};

class SideTest : public ::testing::Test {
 protected:
  SideTest() { queue_.Adopt(call_); }

  session::CompletionQueue queue_;
  session::ClientCall call_;
  Side side_{call_};
  Counting operation_;
};

TEST_F(SideTest, NewsGoesToTheQueueAndRunsWhatWaitsOnce) {
  ASSERT_TRUE(side_.When(operation_));
  EXPECT_EQ(session::testing::PopOne(queue_), nullptr);
  side_.waiting().Poke();
  ASSERT_EQ(session::testing::PopOne(queue_), &side_);
  side_.Run();
  side_.Run();
  EXPECT_EQ(operation_.runs, 1);
}

TEST_F(SideTest, WhatIsLeftAfterNewsCameIsHandedBack) {
  side_.waiting().Poke();
  EXPECT_FALSE(side_.When(operation_));
  side_.Run();
  EXPECT_EQ(operation_.runs, 0);
  side_.ForgetNews();
  EXPECT_TRUE(side_.When(operation_));
}

TEST_F(SideTest, WhatIsWithdrawnIsNotRun) {
  ASSERT_TRUE(side_.When(operation_));
  EXPECT_TRUE(side_.Withdraw(operation_));
  EXPECT_FALSE(side_.Withdraw(operation_));
  side_.Tell();
  EXPECT_EQ(operation_.runs, 0);
}

}  // namespace
}  // namespace nearcall::rpc
