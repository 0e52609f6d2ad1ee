// SPDX-License-Identifier: Apache-2.0

// A client that pings, and its server in the hand of the test.
#include "session/keepalive.h"

#include <gmock/gmock.h>

#include <future>
#include <vector>

#include "base/exec_state.h"
#include "unit/session/client_session_fixture.h"

namespace nearcall::session::testing {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = transport::ControlMessage::Kind;

constexpr int64_t kMs = 1'000'000;

class KeepaliveTest : public ::testing::Test {
 protected:
  void Connect(const KeepaliveTimes& times) {
    Link link = MakeLink({});
    session_ = *ClientSession::Start(std::move(link.client),
                                     {.max_message_size = 4096,
                                      .max_calls_in_flight = 16,
                                      .max_queued_bytes = 1 << 20,
                                      .max_spin_ns = 0,
                                      .keepalive = times},
                                     logger_, "loop:test");
    server_.emplace(std::move(link.server));
  }

  std::unique_ptr<CallThread> StartCall(CallSpec spec = {}) {
    auto thread = std::make_unique<CallThread>(session_, std::move(spec));
    request_ = server_->Receive().value();
    return thread;
  }

  uint64_t NextPing() {
    const auto ping = server_->ReceiveControl();
    EXPECT_TRUE(ping.has_value() && ping->kind == Kind::kPing);
    return ping.value_or(transport::ControlMessage{}).call_id;
  }
  void Pong(uint64_t number, std::optional<transport::Progress> progress = {}) {
    server_->SendControl({.kind = Kind::kPong, .call_id = number, .progress = progress});
  }

  LogLines log_;
  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>(log_.Sink());
  std::shared_ptr<ClientSession> session_;
  std::optional<ScriptedPeer> server_;
  Received request_;
};

TEST_F(KeepaliveTest, AServerThatDoesNotAnswerIsGivenUp) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 30 * kMs});
  const auto call = StartCall();
  NextPing();
  const absl::Status status = call->outcome().status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("the server at loop:test (pid 1234"), HasSubstr("has not answered a ping for 30ms")));
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
  EXPECT_FALSE(session_->usable());
  EXPECT_TRUE(server_->IsHungUpOn());
  logger_->Flush();
  EXPECT_THAT(log_.all(), ElementsAre(HasSubstr("has not answered a ping")));
}

TEST_F(KeepaliveTest, WhoAnswersIsAskedAgainAndAgain) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 10'000 * kMs});
  const auto call = StartCall();
  for (uint64_t number = 1; number <= 5; ++number) {
    EXPECT_EQ(NextPing(), number);
    Pong(number);
  }
  server_->Reply(request_, "late");
  EXPECT_EQ(*call->outcome(), "late");
}

// Those are no answers: a number that nobody asked for, and another kind.
TEST_F(KeepaliveTest, RubbishIsNoAnswer) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 500 * kMs});
  const auto call = StartCall();
  const uint64_t number = NextPing();
  for (const uint64_t other : {uint64_t{0}, number + 1, ~uint64_t{0}}) Pong(other, transport::Progress{});
  server_->SendControl({.kind = Kind::kRing});
  EXPECT_EQ(call->outcome().status().code(), StatusCode::kUnavailable);
}

TEST_F(KeepaliveTest, WhoSendsAnythingIsAlive) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 500 * kMs});
  const auto first = StartCall();
  const Received to_answer = request_;
  const auto second = StartCall();
  const uint64_t unanswered = NextPing();
  server_->Reply(to_answer, "alive");
  EXPECT_EQ(*first->outcome(), "alive");
  EXPECT_EQ(NextPing(), unanswered + 1) << "the reply was as good as an answer";
  server_->Reply(request_, "still");
  EXPECT_EQ(*second->outcome(), "still");
}

TEST_F(KeepaliveTest, WithoutCallsNobodyIsAsked) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 10'000 * kMs});
  EXPECT_FALSE(server_->ReceiveControl(InMs(100)).has_value());
  const auto call = StartCall();
  Pong(NextPing());
  server_->Reply(request_, "yes");
  EXPECT_EQ(*call->outcome(), "yes");
}

TEST_F(KeepaliveTest, UnlessThatIsWanted) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 500 * kMs, .without_calls = true});
  Pong(NextPing());
  NextPing();
  EXPECT_TRUE(server_->IsHungUpOn());
  EXPECT_FALSE(session_->usable());
}

// A server of before there was a keepalive is not asked by a client that has none.
TEST_F(KeepaliveTest, ThereIsNoneByDefault) {
  Connect({});
  const auto call = StartCall();
  EXPECT_FALSE(server_->ReceiveControl(InMs(50)).has_value());
  Pong(1);  // unasked
  server_->Reply(request_, "yes");
  EXPECT_EQ(*call->outcome(), "yes");
}

TEST_F(KeepaliveTest, ACallThatEndsByItsDeadlineSaysWhatIsKnown) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 10'000 * kMs});
  const auto call = StartCall({.deadline = InMs(300)});
  const transport::Progress stuck{.handlers_started = 16, .handlers_running = 16};
  for (int i = 0; i < 3; ++i) Pong(NextPing(), stuck);
  const absl::Status status = call->outcome().status();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("no reply from loop:test (loopback) within the deadline; the server"));
}

// The monitor of this process stands for a process that was stopped.
TEST_F(KeepaliveTest, TimeInWhichThisProcessDidNotRunDoesNotCount) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 500 * kMs});
  const auto call = StartCall();
  std::promise<void> go_on;
  const uint64_t first = NextPing();
  const auto stops = transport::StartTimer(base::NowNs(), [&] { go_on.get_future().wait(); });
  ASSERT_TRUE(stops.ok());
  const base::SteadyNs long_after = InMs(800);
  while (base::NowNs() < long_after) std::this_thread::yield();
  go_on.set_value();
  const uint64_t second = NextPing();
  EXPECT_EQ(second, first + 1);
  Pong(second);
  server_->Reply(request_, "yes");
  EXPECT_EQ(*call->outcome(), "yes");
}

TEST_F(KeepaliveTest, ItsEndWaitsForNothing) {
  Connect({.interval_ns = 10 * kMs, .timeout_ns = 10'000 * kMs, .without_calls = true});
  NextPing();
  session_.reset();
  EXPECT_TRUE(server_->IsHungUpOn());
}

}  // namespace
}  // namespace nearcall::session::testing
