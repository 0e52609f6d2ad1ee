// SPDX-License-Identifier: Apache-2.0
#include "session/server_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "unit/session/client.h"
#include "unit/session/link.h"

namespace nearcall::session {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using testing::Header;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Event = Inbox::Event;
using Kind = transport::ControlMessage::Kind;

constexpr size_t kMaxMessage = 100;
constexpr size_t kMaxCalls = 16;
constexpr transport::Progress kProgress = {.handlers_started = 5, .handlers_running = 3};

// A call that only notes what it is told.
class FakeCall final : public ActiveCall {
 public:
  explicit FakeCall(uint64_t call_id, Stream* stream = nullptr, bool one_way = false) {
    Begin(call_id, testing::kMethod, stream, one_way);
  }
  void MarkCancelled() override { cancelled_ = true; }
  Stage stage() const override { return Stage::kWaiting; }
  const char* method_name() const override { return nullptr; }
  base::SteadyNs arrived() const override { return 0; }
  bool cancelled() const { return cancelled_; }

 private:
  std::atomic<bool> cancelled_{false};
};

template <typename Condition>
bool Becomes(Condition&& condition) {
  const base::SteadyNs until = testing::Patience();
  while (!condition()) {
    if (base::NowNs() >= until) return false;
    std::this_thread::yield();
  }
  return true;
}

class ServerSessionTest : public ::testing::Test {
 protected:
  ServerSessionTest() {
    testing::Link link = testing::MakeLink({.max_frame_size = 128, .capacity_frames = 8});
    session_ = *ServerSession::Start(
        std::move(link.server), {.max_message_size = kMaxMessage, .max_calls = kMaxCalls}, logger_,
        {.on_gone = [this] { ++gone_; }, .on_ring = [this] { ++rings_; }, .on_ping = [] { return kProgress; }});
    client_.emplace(std::move(link.client));
  }
  // The monitor may be in the middle of telling it of the client's end.
  ~ServerSessionTest() override {
    if (session_ != nullptr) session_->listener().Detach();
  }

  void SendCancel(uint64_t call_id) { client_->SendControl({.kind = Kind::kCancel, .call_id = call_id}); }

  // Control messages are read in order: whatever was sent before has arrived.
  void WaitForControl() {
    client_->SendControl({.kind = Kind::kPing, .call_id = 1});
    const auto pong = client_->ReceiveControl();
    ASSERT_TRUE(pong);
    EXPECT_EQ(pong->kind, Kind::kPong);
    EXPECT_EQ(pong->progress, kProgress);
  }

  std::vector<std::string> Logged() {
    logger_->Flush();
    return log_.all();
  }

  testing::LogLines log_;
  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>(log_.Sink());
  std::atomic<int> gone_{0};
  std::atomic<int> rings_{0};
  std::shared_ptr<ServerSession> session_;
  std::optional<testing::ScriptedPeer> client_;
};

// --- requests ---

TEST_F(ServerSessionTest, ReadsRequests) {
  client_->Send(Header(wire::FrameKind::kRequest, 7, 2), "hello");
  wire::Message message;
  EXPECT_EQ(session_->Next(message), Event::kMessage);
  EXPECT_EQ(message.header.call_id, 7u);
  EXPECT_EQ(testing::AsText(std::as_const(message.bytes).bytes()), "hello");
  EXPECT_EQ(session_->Next(message), Event::kEmpty);
}

TEST_F(ServerSessionTest, KnowsItsClient) {
  EXPECT_EQ(session_->id(), testing::kClientId);
  EXPECT_EQ(session_->client().peer().pid, 1234);
  EXPECT_EQ(session_->client().peer().uid, 5678u);
  EXPECT_THAT(session_->DebugString(), AllOf(HasSubstr("pid 1234"), HasSubstr("uid 5678"), HasSubstr("0 calls")));
}

TEST_F(ServerSessionTest, PassesARingOn) {
  client_->SendControl({.kind = Kind::kRing});
  WaitForControl();
  EXPECT_EQ(rings_, 1);
}

// --- cancelling ---

TEST_F(ServerSessionTest, ACancelReachesItsCallOnly) {
  FakeCall one(1), two(2);
  EXPECT_TRUE(session_->AddCall(one));
  EXPECT_TRUE(session_->AddCall(two));
  SendCancel(2);
  EXPECT_TRUE(Becomes([&] { return two.cancelled(); }));
  EXPECT_FALSE(one.cancelled());
  session_->calls().Remove(one);
  session_->calls().Remove(two);
}

TEST_F(ServerSessionTest, ACancelThatComesBeforeItsRequestCountsOnce) {
  SendCancel(7);
  WaitForControl();
  FakeCall call(7);
  EXPECT_TRUE(session_->AddCall(call));
  EXPECT_TRUE(call.cancelled());
  session_->calls().Remove(call);
  FakeCall again(7);
  EXPECT_TRUE(session_->AddCall(again));
  EXPECT_FALSE(again.cancelled());
  session_->calls().Remove(again);
}

constexpr uint64_t kNextInSlot = uint64_t{1} << wire::kSlotBits;

TEST_F(ServerSessionTest, AFloodOfCancelsIsRememberedBySlot) {
  for (uint64_t id = 1; id <= 4000; ++id) {
    SendCancel(id);
    if (id % 64 == 0) WaitForControl();  // the socket holds only so many
  }
  SendCancel(3 + kNextInSlot);
  SendCancel(3);
  WaitForControl();
  EXPECT_FALSE(session_->end().gone());
  FakeCall two(2), three(3 + kNextInSlot);
  EXPECT_TRUE(session_->AddCall(two));
  EXPECT_TRUE(session_->AddCall(three));
  EXPECT_TRUE(two.cancelled());
  EXPECT_TRUE(three.cancelled()) << "a cancel that came late took its place";
  session_->calls().Remove(two);
  session_->calls().Remove(three);
}

TEST_F(ServerSessionTest, ALateCancelIsForNoOtherCall) {
  FakeCall old(3);
  EXPECT_TRUE(session_->AddCall(old));
  session_->calls().Remove(old);
  SendCancel(3);
  WaitForControl();
  FakeCall next(3 + kNextInSlot);
  EXPECT_TRUE(session_->AddCall(next));
  SendCancel(3);
  WaitForControl();
  EXPECT_FALSE(next.cancelled());
  session_->calls().Remove(next);
}

// --- slots ---

// The reply may reach the client before its call is done with here.
TEST_F(ServerSessionTest, TheSlotOfACallThatIsBeingAnsweredIsTheNextOnes) {
  FakeCall old(3), next(3 + kNextInSlot);
  EXPECT_TRUE(session_->AddCall(old));
  old.FreeSlot();
  EXPECT_TRUE(session_->AddCall(next));
  session_->calls().Remove(old);
  SendCancel(next.call_id());
  WaitForControl();
  EXPECT_TRUE(next.cancelled());
  EXPECT_FALSE(old.cancelled());
  session_->calls().Remove(next);
}

TEST_F(ServerSessionTest, ASlotThatIsTakenIsAViolation) {
  FakeCall old(3), next(3 + kNextInSlot);
  EXPECT_TRUE(session_->AddCall(old));
  EXPECT_FALSE(session_->AddCall(next));
  EXPECT_TRUE(session_->end().gone());
  EXPECT_FALSE(next.linked());
  EXPECT_THAT(Logged(), ElementsAre(HasSubstr("call 65539 begins in the slot of call 3, which has not been answered")));
  session_->calls().Remove(old);
}

TEST_F(ServerSessionTest, ASlotThatWasNotGrantedIsAViolation) {
  FakeCall last(kMaxCalls - 1), beyond(kMaxCalls);
  EXPECT_TRUE(session_->AddCall(last));
  EXPECT_FALSE(session_->AddCall(beyond));
  EXPECT_THAT(Logged(), ElementsAre(HasSubstr("call 16 has slot 16, where 16 slots were granted")));
  session_->calls().Remove(last);
}

TEST_F(ServerSessionTest, OtherControlMessagesChangeNothing) {
  client_->SendControl({.kind = Kind::kGoAway});
  client_->SendControl({.kind = Kind::kPong, .call_id = 1});
  WaitForControl();
  EXPECT_FALSE(session_->end().gone());
}

// --- the end ---

TEST_F(ServerSessionTest, WhenTheClientHangsUpItsCallsAreCancelledAndTheOwnerToldOnce) {
  FakeCall one(1), two(2);
  EXPECT_TRUE(session_->AddCall(one));
  EXPECT_TRUE(session_->AddCall(two));
  client_->HangUp();
  EXPECT_TRUE(Becomes([&] { return gone_ == 1 && one.cancelled() && two.cancelled(); }));
  EXPECT_TRUE(session_->end().gone());
  EXPECT_FALSE(session_->outbox().TrySend({}, 0, [](std::span<std::byte>) {})) << "it is closed";
  session_->HangUp();
  EXPECT_EQ(gone_, 1);
  session_->calls().Remove(one);
  session_->calls().Remove(two);
  EXPECT_THAT(Logged(), IsEmpty());
}

TEST_F(ServerSessionTest, CallsOfADeadConnectionAreCancelledFromTheStart) {
  session_->HangUp();
  FakeCall call(1);
  EXPECT_TRUE(session_->AddCall(call));
  EXPECT_TRUE(call.cancelled());
  session_->calls().Remove(call);
}

TEST_F(ServerSessionTest, HangUpIsSeenByTheClientAndToldToTheOwnerOnce) {
  session_->HangUp();
  session_->HangUp();
  EXPECT_TRUE(client_->IsHungUpOn());
  EXPECT_TRUE(session_->end().gone());
  EXPECT_TRUE(session_->listener().was_told_gone());
  EXPECT_EQ(gone_, 1);
}

TEST_F(ServerSessionTest, HangUpFromManySidesIsOne) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { session_->HangUp(); });
  client_->HangUp();
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Becomes([&] { return gone_ != 0; }));
  session_->listener().Detach();
  EXPECT_EQ(gone_, 1);
}

TEST_F(ServerSessionTest, AfterDetachTheOwnerIsNotTold) {
  session_->listener().Detach();
  client_->HangUp();
  EXPECT_TRUE(Becomes([&] { return session_->end().gone(); }));
  session_.reset();
  EXPECT_EQ(gone_, 0);
}

TEST_F(ServerSessionTest, GoAwayIsSent) {
  session_->end().SendGoAway();
  const auto control = client_->ReceiveControl();
  ASSERT_TRUE(control);
  EXPECT_EQ(control->kind, Kind::kGoAway);
  EXPECT_FALSE(session_->end().gone());
}

// --- the client misbehaves ---

class ServerSessionViolationTest : public ServerSessionTest {
 protected:
  // After the client has misbehaved in what it sent.
  void ExpectViolation(const std::string& text) {
    wire::Message message;
    EXPECT_EQ(session_->Next(message), Event::kBroken);
    ExpectClosed(text);
  }

  void ExpectClosed(const std::string& text) {
    EXPECT_TRUE(session_->end().gone());
    EXPECT_TRUE(client_->IsHungUpOn());
    EXPECT_TRUE(Becomes([&] { return gone_ == 1; }));
    session_->Break(absl::InternalError("again"));
    EXPECT_THAT(Logged(), AllOf(SizeIs(1), Each(AllOf(HasSubstr(text), HasSubstr("pid 1234"), HasSubstr("uid 5678")))));
    EXPECT_THAT(session_->DebugString(), HasSubstr(text));
  }
};

TEST_F(ServerSessionViolationTest, AReplyFromTheClient) {
  client_->Send(Header(wire::FrameKind::kReply, 1, 1), "");
  ExpectViolation("expected a request");
}

TEST_F(ServerSessionViolationTest, ATooLargeMessageThatIsNoRequest) {
  client_->Send(Header(wire::FrameKind::kReply, 1, 1), std::string(kMaxMessage + 1, 'x'));
  ExpectViolation("expected a request");
}

TEST_F(ServerSessionViolationTest, AGapInTheSequence) {
  wire::FrameHeader header = Header(wire::FrameKind::kRequest, 1, 1);
  header.flags = wire::kFirst | wire::kLast;
  header.source_id = testing::kClientId;
  header.sequence = 5;
  testing::SendRaw(client_->transport(), header, "");
  ExpectViolation("expected frame 1, received 5");
}

TEST_F(ServerSessionViolationTest, AnUnknownControlMessage) {
  client_->SendControl({.kind = static_cast<Kind>(99)});
  EXPECT_TRUE(Becomes([&] { return session_->end().gone(); }));
  ExpectClosed("control message");
}

// --- one-way ---

TEST_F(ServerSessionTest, AOneWayCallOutlivesItsClientAndNotThisSidesEnd) {
  FakeCall unary(1);
  FakeCall one_way(2, nullptr, /*one_way=*/true);
  ASSERT_TRUE(session_->AddCall(unary) && session_->AddCall(one_way));
  session_->OnPeerGone();
  FakeCall late_unary(3);
  FakeCall late_one_way(4, nullptr, /*one_way=*/true);
  ASSERT_TRUE(session_->AddCall(late_unary) && session_->AddCall(late_one_way));
  EXPECT_TRUE(unary.cancelled() && late_unary.cancelled());
  EXPECT_FALSE(one_way.cancelled() || late_one_way.cancelled());
  EXPECT_FALSE(session_->end().hung_up());
  EXPECT_EQ(rings_, 0);
  session_->HangUp();
  EXPECT_TRUE(one_way.cancelled() && late_one_way.cancelled());
  EXPECT_TRUE(session_->end().hung_up());
  EXPECT_EQ(gone_, 1);
  EXPECT_EQ(rings_, 1) << "the poller is to look";
  for (FakeCall* call : {&unary, &one_way, &late_unary, &late_one_way}) session_->calls().Remove(*call);
}

// --- streams ---

class ServerSessionStreamTest : public ServerSessionViolationTest {
 protected:
  // What comes next is none of the poller's business.
  void ExpectTaken() {
    wire::Message message;
    EXPECT_EQ(session_->Next(message), Event::kProgress);
    EXPECT_FALSE(session_->end().gone());
  }

  void SendElement(uint64_t call_id, const std::string& payload) {
    client_->SendSome(Header(wire::FrameKind::kMessage, call_id, 1), payload);
  }

  Waiting reading_;
  Waiting writing_;
  Stream stream_{
      {.peer_is_caller = true, .peer_streams = true, .send_window = 100, .receive_window = 100}, reading_, writing_};
};

TEST_F(ServerSessionStreamTest, AnElementComesToItsCall) {
  FakeCall call(1, &stream_);
  EXPECT_TRUE(session_->AddCall(call));
  SendElement(1, "e");
  ExpectTaken();
  Arrivals arrivals;
  EXPECT_TRUE(stream_.TakeArrivals(arrivals));
  EXPECT_EQ(testing::AsText(arrivals.front()), "e");
  session_->calls().Remove(call);
}

TEST_F(ServerSessionStreamTest, AnElementForACallThatDoesNotStream) {
  FakeCall call(1);
  EXPECT_TRUE(session_->AddCall(call));
  SendElement(1, "e");
  ExpectViolation("which does not stream");
  session_->calls().Remove(call);
}

TEST_F(ServerSessionStreamTest, AnElementOfAnotherMethod) {
  FakeCall call(1, &stream_);
  EXPECT_TRUE(session_->AddCall(call));
  wire::FrameHeader header = Header(wire::FrameKind::kMessage, 1, 1);
  header.method_id = testing::kMethod + 1;
  client_->Send(header, "e");
  ExpectViolation("of another method");
  session_->calls().Remove(call);
}

TEST_F(ServerSessionStreamTest, AnElementInASlotThatWasNotGranted) {
  SendElement(kMaxCalls, "e");
  ExpectViolation("was not granted");
}

// The answer may have crossed it on the way.
TEST_F(ServerSessionStreamTest, WhatComesAfterTheAnswerIsDropped) {
  FakeCall call(1, &stream_);
  EXPECT_TRUE(session_->AddCall(call));
  call.FreeSlot();
  SendElement(1, "e");
  ExpectTaken();
  Arrivals arrivals;
  EXPECT_FALSE(stream_.TakeArrivals(arrivals));
  session_->calls().Remove(call);
  SendElement(1, "e");
  ExpectTaken();
  client_->SendSome(Header(wire::FrameKind::kHalfClose, 1, 1), "");
  ExpectTaken();
  EXPECT_THAT(Logged(), IsEmpty());
}

TEST_F(ServerSessionStreamTest, ATooLargeElementEndsItsCall) {
  FakeCall call(1, &stream_);
  EXPECT_TRUE(session_->AddCall(call));
  SendElement(1, std::string(kMaxMessage + 1, 'x'));
  ExpectTaken();
  EXPECT_EQ(stream_.failure().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(stream_.failure().message()), HasSubstr("ServerOptions::max_message_size"));
  EXPECT_TRUE(call.cancelled());
  session_->calls().Remove(call);
}

TEST_F(ServerSessionTest, ATooLargeRequestIsNoViolation) {
  client_->Send(Header(wire::FrameKind::kRequest, 1, 1), std::string(kMaxMessage + 1, 'x'));
  wire::Message message;
  EXPECT_EQ(session_->Next(message), Event::kTooLarge);
  EXPECT_EQ(session_->Next(message), Event::kProgress);
  EXPECT_FALSE(session_->end().gone());
}

// A log sink is the user's, too.
TEST(ServerSessionLogTest, TheLogSinkRunsWithoutTheLock) {
  testing::Link link = testing::MakeLink();
  ServerSession* raw = nullptr;
  std::string seen;
  const LogSink sink = [&](LogSeverity, absl::string_view) { seen = raw->DebugString(); };
  const auto logger = std::make_shared<base::Logger>(sink);
  std::shared_ptr<ServerSession> session = *ServerSession::Start(
      std::move(link.server), {.max_message_size = kMaxMessage, .max_calls = kMaxCalls}, logger, {});
  raw = session.get();
  session->Break(absl::InternalError("something"));
  logger->Flush();
  EXPECT_THAT(seen, HasSubstr("something"));
}

}  // namespace
}  // namespace nearcall::session
