// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/stream_side.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rpc/server/incoming_call.h"
#include "unit/rpc/fake_service.h"
#include "unit/rpc/server_end.h"
#include "unit/session/client.h"

namespace nearcall::rpc {
namespace {

using internal::Tried;
using testing::Bytes;
using testing::MakeBytes;
using Control = transport::ControlMessage::Kind;

constexpr uint32_t kWindow = 1000;

// A method whose handler is suspended at once, and remembered.
class SuspendedService final : public Service {
 public:
  const internal::ServiceInfo& GetServiceInfo() const override { return info_; }

  internal::ServerCall* call = nullptr;
  std::unique_ptr<internal::PendingAnswer> answer;

 private:
  static void Run(Service& service, internal::ServerCall& call) {
    auto& self = static_cast<SuspendedService&>(service);
    self.call = &call;
    self.answer = call.Defer();
  }

  const internal::ServerMethod method_ = {
      internal::MakeMethod("test.Service/Chat", internal::MethodKind::kBidiStreaming, Priority::kNormal, 0, false),
      &Run, /*suspends=*/true};
  const internal::ServiceInfo info_ = {"test.Service", {&method_, 1}};
};

class Counted final : public internal::Operation {
 public:
  Counted() : Operation([](Operation& self) { ++static_cast<Counted&>(self).runs; }) {}
  int runs = 0;
};

// A call whose handler is suspended. Turns are run by the test.
class StreamSideTest : public ::testing::Test {
 protected:
  StreamSideTest() { EXPECT_TRUE(core_.services.Add(&service_).ok()); }
  ~StreamSideTest() override {
    service_.answer.reset();
    while (RunTurn()) {
    }
    EXPECT_EQ(core_.active_calls, 0u);
  }

  internal::ServerStream& Begin(uint64_t time_left_ns = 0) {
    auto call = end_.SendAndRead({.method_id = internal::MethodId("test.Service/Chat"),
                                  .time_left_ns = time_left_ns,
                                  .kind = internal::MethodKind::kBidiStreaming});
    EXPECT_TRUE(call->AdmitStream().ok());
    call->Run();
    EXPECT_FALSE(call->Drop());
    static_cast<void>(call.release());  // whoever answers it owns it
    return service_.call->stream();
  }

  void SendElement(const std::string& value = "x") {
    SendFrame(wire::FrameKind::kMessage, MakeBytes(value).SerializeAsString());
  }
  void SendFrame(wire::FrameKind kind, const std::string& payload = "", uint32_t credit = 0) {
    wire::FrameHeader header = session::testing::Header(kind, 1, 1);
    header.method_id = internal::MethodId("test.Service/Chat");
    if (credit != 0) {
      header.message_size = credit;
      EXPECT_TRUE(end_.client().outbox().TrySend(header, 0, [](std::span<std::byte>) {}));
    } else {
      end_.client().SendSome(header, payload);
    }
    wire::Message message;
    while (end_.session().Next(message) == session::Inbox::Event::kProgress) end_.session().transport().Release();
  }

  // Runs the turn that waits, as a serving thread. False: none does.
  bool RunTurn() {
    Turn* const turn = end_.places().NextTurn();
    if (turn == nullptr) return false;
    IncomingCall& call = turn->call;  // it takes the turn along
    turn->Run();
    if (call.Drop()) {
      call.Reset();
      delete &call;
    }
    return true;
  }
  bool RunTurnInTime() {
    const base::SteadyNs until = session::testing::Patience();
    while (base::NowNs() < until) {
      if (RunTurn()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  session::testing::LogLines log_;
  SuspendedService service_;
  ServerCore core_{{.log_sink = log_.Sink(), .stream_window_bytes = kWindow}, 1};
  testing::ServerEnd end_{core_, {.max_frame_size = 256, .capacity_frames = 8, .stream_window = kWindow}};
  Counted reads_;
  Counted writes_;
  Bytes element_;
};

TEST_F(StreamSideTest, AnElementGivesTheOperationATurnAndRunsItNotOnTheSpot) {
  internal::ServerStream& stream = Begin();
  EXPECT_EQ(stream.TryRead(element_), Tried::kNotYet);
  ASSERT_TRUE(stream.WhenReadable(reads_));
  SendElement("hello");
  EXPECT_EQ(reads_.runs, 0);
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(reads_.runs, 1);
  EXPECT_EQ(stream.TryRead(element_), Tried::kDone);
  EXPECT_EQ(element_.value(), "hello");
  EXPECT_FALSE(RunTurn());
}

TEST_F(StreamSideTest, WhatComesBetweenTryAndWhenIsNotLost) {
  internal::ServerStream& stream = Begin();
  EXPECT_EQ(stream.TryRead(element_), Tried::kNotYet);
  SendElement();
  EXPECT_FALSE(stream.WhenReadable(reads_));
  EXPECT_EQ(stream.TryRead(element_), Tried::kDone);
  EXPECT_FALSE(RunTurn()) << "nobody waited";
  ASSERT_TRUE(stream.WhenReadable(reads_)) << "the news has been read";
  SendElement();
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(reads_.runs, 1);
}

TEST_F(StreamSideTest, ElementsThatComeTogetherAreOneTurn) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  SendElement();
  SendElement();
  EXPECT_TRUE(RunTurn());
  EXPECT_FALSE(RunTurn());
  EXPECT_EQ(stream.TryRead(element_), Tried::kDone);
  EXPECT_FALSE(stream.WhenReadable(reads_)) << "the second one is there";
  EXPECT_EQ(stream.TryRead(element_), Tried::kDone);
  EXPECT_EQ(stream.TryRead(element_), Tried::kNotYet);
}

TEST_F(StreamSideTest, AHalfCloseEndsTheReadingOnly) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  SendFrame(wire::FrameKind::kHalfClose);
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(reads_.runs, 1);
  EXPECT_EQ(stream.TryRead(element_), Tried::kOver);
  EXPECT_FALSE(stream.WhenReadable(reads_));
  EXPECT_FALSE(service_.call->context().IsCancelled());
  EXPECT_EQ(stream.TryWrite(MakeBytes("still")), Tried::kDone);
}

TEST_F(StreamSideTest, CreditGivesTheWriterATurn) {
  internal::ServerStream& stream = Begin();
  EXPECT_EQ(stream.TryWrite(MakeBytes(std::string(2 * kWindow, 'x'))), Tried::kDone) << "it began with credit";
  EXPECT_EQ(stream.TryWrite(MakeBytes("y")), Tried::kNotYet);
  ASSERT_TRUE(stream.WhenWritable(writes_));
  ASSERT_TRUE(stream.WhenReadable(reads_));
  SendFrame(wire::FrameKind::kCredit, "", kWindow / 2);
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(stream.TryWrite(MakeBytes("y")), Tried::kNotYet) << "it is not enough";
  ASSERT_TRUE(stream.WhenWritable(writes_));
  for (int i = 0; i < 2; ++i) SendFrame(wire::FrameKind::kCredit, "", kWindow / 2 + 50);
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(writes_.runs, 2);
  EXPECT_EQ(reads_.runs, 0);
  EXPECT_FALSE(stream.WhenWritable(writes_));
  EXPECT_EQ(stream.TryWrite(MakeBytes("y")), Tried::kDone);
  stream.Withdraw(reads_);
}

TEST_F(StreamSideTest, ACancelGivesBothATurnAndNothingWaitsAfterIt) {
  internal::ServerStream& stream = Begin();
  EXPECT_EQ(stream.TryWrite(MakeBytes(std::string(kWindow, 'x'))), Tried::kDone);
  ASSERT_TRUE(stream.WhenReadable(reads_));
  ASSERT_TRUE(stream.WhenWritable(writes_));
  end_.client().SendControl({.kind = Control::kCancel, .call_id = 1});
  EXPECT_TRUE(RunTurnInTime());
  EXPECT_TRUE(RunTurnInTime());
  EXPECT_EQ(reads_.runs + writes_.runs, 2);
  EXPECT_TRUE(service_.call->context().IsCancelled());
  EXPECT_EQ(stream.TryRead(element_), Tried::kOver);
  EXPECT_EQ(stream.TryWrite(MakeBytes("y")), Tried::kOver);
  EXPECT_FALSE(stream.WhenReadable(reads_));
  EXPECT_FALSE(stream.WhenWritable(writes_));
}

TEST_F(StreamSideTest, TheEndOfTheConnectionIsACancel) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  end_.session().HangUp();
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(reads_.runs, 1);
  EXPECT_EQ(stream.TryRead(element_), Tried::kOver);
}

TEST_F(StreamSideTest, TheDeadlineGivesATurn) {
  internal::ServerStream& stream = Begin(20'000'000);
  ASSERT_TRUE(stream.WhenReadable(reads_));
  EXPECT_TRUE(RunTurnInTime());
  EXPECT_EQ(reads_.runs, 1);
  EXPECT_EQ(stream.TryRead(element_), Tried::kOver);
  EXPECT_FALSE(stream.WhenReadable(reads_));
}

TEST_F(StreamSideTest, WhatIsWithdrawnIsNotRunThoughItsTurnIsQueued) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  SendElement();
  stream.Withdraw(reads_);
  EXPECT_EQ(stream.TryRead(element_), Tried::kDone);
  Counted other;
  ASSERT_TRUE(stream.WhenReadable(other));
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(reads_.runs + other.runs, 0) << "there is no news for the other one";
  SendElement();
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(reads_.runs, 0);
  EXPECT_EQ(other.runs, 1);
}

TEST_F(StreamSideTest, ATurnThatIsQueuedServesTheNextOperationToo) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  SendElement();
  stream.Withdraw(reads_);
  EXPECT_EQ(stream.TryRead(element_), Tried::kDone);
  Counted other;
  ASSERT_TRUE(stream.WhenReadable(other));
  SendElement();
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(other.runs, 1);
  EXPECT_FALSE(RunTurn());
}

TEST_F(StreamSideTest, ACallWhoseTurnIsQueuedOutlivesItsAnswer) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  SendElement();
  stream.Withdraw(reads_);
  service_.answer->FinishStream(absl::OkStatus());
  EXPECT_EQ(core_.active_calls, 1u);
  EXPECT_TRUE(end_.TakeAnswer());
  EXPECT_TRUE(RunTurn());
  EXPECT_EQ(core_.active_calls, 0u);
}

TEST_F(StreamSideTest, AHandlerThatHasThrownIsUnknown) {
  Begin();
  service_.answer->FinishThrown();
  const auto answer = end_.TakeAnswer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kUnknown);
  core_.logger->Flush();
  EXPECT_THAT(log_.all(), ::testing::Contains(::testing::HasSubstr("the handler of test.Service/Chat threw")));
}

TEST_F(StreamSideTest, AStreamOfACoroutineTakesNoThread) {
  Begin();
  EXPECT_EQ(core_.open_streams, 0u);
}

using StreamSideDeathTest = StreamSideTest;

TEST_F(StreamSideDeathTest, AnAnswerWhileSomebodyWaitsIsACheck) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  EXPECT_DEATH(service_.answer->FinishStream(absl::OkStatus()), "answered_while_its_handler_waits");
  stream.Withdraw(reads_);
}

TEST_F(StreamSideDeathTest, TwoWhoReadAreACheck) {
  internal::ServerStream& stream = Begin();
  ASSERT_TRUE(stream.WhenReadable(reads_));
  EXPECT_DEATH(stream.WhenReadable(writes_), "check failed");
  stream.Withdraw(reads_);
}

}  // namespace
}  // namespace nearcall::rpc
