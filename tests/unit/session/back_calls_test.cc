// SPDX-License-Identifier: Apache-2.0
#include "session/back_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "session/server_session.h"
#include "unit/session/client.h"
#include "unit/session/link.h"

namespace nearcall::session {
namespace {

using ::testing::HasSubstr;
using testing::Header;
using testing::Received;
using Event = Inbox::Event;
using Kind = wire::FrameKind;

// A session that serves, its client in the hand of the test, and a poller's leader that only reads.
class BackCallsTest : public ::testing::Test {
 protected:
  explicit BackCallsTest(uint32_t granted = 2) {
    testing::Link link = testing::MakeLink({.max_frame_size = 128, .max_calls_in_flight = granted});
    session_ =
        *ServerSession::Start(std::move(link.server), {.max_message_size = 100, .max_calls = 16}, logger_,
                              {.on_gone = [] {}, .on_ring = [this] { ++rings_; }}, quota_->AccountOf(testing::kUser));
    client_.emplace(std::move(link.client));
  }
  ~BackCallsTest() override {
    leads_ = false;
    if (leader_.joinable()) leader_.join();
    session_->back().End();
    session_->listener().Detach();
  }

  // Somebody reads.
  void Lead() {
    leads_ = true;
    leader_ = std::thread([this] {
      wire::Message message;
      while (leads_) {
        if (session_->Next(message) == Event::kEmpty) std::this_thread::yield();
        session_->transport().Release();
        if (session_->outbox().has_waiting()) session_->outbox().Pump();
      }
    });
  }

  std::shared_ptr<ClientSession> Back() { return session_->back().Session(session_); }

  static constexpr size_t kBytes = 100'000;
  static base::Quota::Totals Totals() { return {.calls = 3, .bytes = kBytes, .places = 10, .descriptors = 100}; }

  testing::LogLines log_;
  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>(log_.Sink());
  const std::shared_ptr<base::Quota> quota_ =
      std::make_shared<base::Quota>(Totals(), std::vector<uid_t>{testing::kUser}, testing::kUser);
  std::atomic<int> rings_{0};
  std::shared_ptr<ServerSession> session_;
  std::optional<testing::ScriptedPeer> client_;
  std::atomic<bool> leads_{false};
  std::thread leader_;
};

class GrantsNothingTest : public BackCallsTest {
 protected:
  GrantsNothingTest() : BackCallsTest(0) {}
};

TEST_F(BackCallsTest, AreAnsweredByTheClient) {
  Lead();
  testing::CallThread call(Back(), {.request = "question"});
  const std::optional<Received> request = client_->Receive();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->payload, "question");
  EXPECT_NE(request->header.call_id & wire::kBegunByAcceptor, 0u);
  client_->Reply(*request, "answer");
  EXPECT_EQ(*call.outcome(), "answer");
}

// Both sides use slot 0 at once, and neither is confused.
TEST_F(BackCallsTest, GoBesideTheClientsOwn) {
  testing::CallThread call(Back(), {.request = "question"});
  const std::optional<Received> request = client_->Receive();
  ASSERT_TRUE(request);
  client_->Send(Header(Kind::kRequest, request->header.call_id & ~wire::kBegunByAcceptor, 1), "mine");
  wire::Message message;
  EXPECT_EQ(session_->Next(message), Event::kMessage);
  EXPECT_EQ(testing::AsText(std::as_const(message.bytes).bytes()), "mine");
  client_->Reply(*request, "answer");
  EXPECT_EQ(session_->Next(message), Event::kProgress);
  EXPECT_EQ(*call.outcome(), "answer");
}

TEST_F(BackCallsTest, HaveOneSessionForAll) {
  EXPECT_EQ(Back(), Back());
}

TEST_F(BackCallsTest, WaitForASlot) {
  Lead();
  testing::CallThread one(Back(), {.request = "1"});
  const auto first = client_->Receive();
  testing::CallThread two(Back(), {.request = "2"});
  const auto second = client_->Receive();
  WaitingCall third(*Back());
  EXPECT_EQ(testing::MakeCall(*Back(), third, {.fail_fast = true}).status().code(),
            absl::StatusCode::kResourceExhausted);
  client_->Reply(*first, "1");
  client_->Reply(*second, "2");
  EXPECT_TRUE(one.outcome().ok());
  EXPECT_TRUE(two.outcome().ok());
}

// Three calls are all that the user may have, and he has begun as many.
TEST_F(BackCallsTest, CountAsTheUsers) {
  base::Charge own;
  ASSERT_TRUE(own.TryTake(&quota_->AccountOf(testing::kUser)->memory, base::Amount::Of(3, 3)));
  WaitingCall call(*Back());
  const absl::Status status = testing::MakeCall(*Back(), call, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
  own.Release();
  Lead();
  testing::CallThread another(Back(), {});
  client_->Reply(*client_->Receive(), "ok");
  EXPECT_TRUE(another.outcome().ok());
  EXPECT_EQ(quota_->AccountOf(testing::kUser)->memory.taken().word, 0u);
}

TEST_F(BackCallsTest, AReplyOverTheQuotaEndsItsCall) {
  Lead();
  testing::CallThread call(Back(), {});
  const auto request = client_->Receive();
  base::Charge own;
  ASSERT_TRUE(own.TryTake(&quota_->AccountOf(testing::kUser)->memory, base::Amount::Of(0, kBytes)));
  client_->Reply(*request, "too much");
  EXPECT_THAT(call.outcome().status().message(), HasSubstr("max_total_bytes"));
}

// ---- ends ----

TEST_F(BackCallsTest, EndWithTheConnection) {
  testing::CallThread call(Back(), {});
  ASSERT_TRUE(client_->Receive());
  session_->back().End();
  EXPECT_EQ(call.outcome().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(call.outcome().status().message(), HasSubstr("the client (pid 1234"));
  WaitingCall late(*Back());
  EXPECT_EQ(testing::MakeCall(*Back(), late, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(BackCallsTest, ThatBeginAfterTheEndFail) {
  session_->back().End();
  WaitingCall late(*Back());
  EXPECT_EQ(testing::MakeCall(*Back(), late, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(BackCallsTest, ACancelIsToldTheClient) {
  testing::CallThread call(Back(), {});
  const auto request = client_->Receive();
  Back()->Cancel(call.call());
  EXPECT_EQ(call.outcome().status().code(), absl::StatusCode::kCancelled);
  const auto told = client_->ReceiveControl();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->kind, transport::ControlMessage::Kind::kCancel);
  EXPECT_EQ(told->call_id, request->header.call_id);
}

// ---- what the client must not send ----

TEST_F(BackCallsTest, ARequestOfTheOtherSideIsAViolation) {
  Back();
  client_->Send(Header(Kind::kRequest, wire::kBegunByAcceptor | 1, 1), "");
  wire::Message message;
  EXPECT_EQ(session_->Next(message), Event::kBroken);
  EXPECT_TRUE(client_->IsHungUpOn());
}

TEST_F(BackCallsTest, AnAnswerBeforeAnyCallIsAViolation) {
  client_->Send(Header(Kind::kReply, wire::kBegunByAcceptor | 1, 1), "");
  wire::Message message;
  EXPECT_EQ(session_->Next(message), Event::kBroken);
  EXPECT_TRUE(client_->IsHungUpOn());
}

TEST_F(BackCallsTest, ACancelOfTheOtherSidesCallIsAViolation) {
  client_->SendControl({.kind = transport::ControlMessage::Kind::kCancel, .call_id = wire::kBegunByAcceptor | 1});
  EXPECT_TRUE(client_->IsHungUpOn());
}

TEST_F(BackCallsTest, AnAnswerOfAnotherMethodIsAViolation) {
  testing::CallThread call(Back(), {});
  const auto request = client_->Receive();
  wire::FrameHeader reply = testing::ScriptedPeer::ReplyTo(*request);
  reply.method_id = 1;
  client_->Send(reply, "");
  wire::Message message;
  EXPECT_EQ(session_->Next(message), Event::kBroken);
  session_->back().End();
  EXPECT_FALSE(call.outcome().ok());
}

TEST_F(GrantsNothingTest, ThereIsNoSession) {
  EXPECT_EQ(Back(), nullptr);
}

}  // namespace
}  // namespace nearcall::session
