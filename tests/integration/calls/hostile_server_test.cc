// SPDX-License-Identifier: Apache-2.0

// Servers that shake hands and then break the protocol: the calls end with a text, and the channel survives.
#include <array>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using wire::FrameHeader;
using wire::FrameKind;

class HostileServerTest : public IntegrationTest {
 protected:
  HostileServerTest() : door_(Address()) {
    auto connected = std::async(std::launch::async, [this] { return Connect(); });
    server_ = std::make_unique<RawServer>(door_);
    channel_ = connected.get();
  }

  // The reply to the call that comes next, right but for what `spoil` does to it.
  void Answer(const std::function<void(FrameHeader&)>& spoil, size_t payload_size = 0) {
    const FrameHeader request = server_->Receive();
    FrameHeader reply = server_->Header(FrameKind::kReply, payload_size);
    reply.call_id = request.call_id;
    reply.method_id = request.method_id;
    spoil(reply);
    server_->Send(reply);
  }

  // The status of a call that is answered so.
  absl::Status Call(const std::function<void(FrameHeader&)>& spoil, size_t payload_size = 0) {
    Pending call = SayAsync(Echo::Stub(channel_), "", {.timeout = kLong});
    Answer(spoil, payload_size);
    return call.get().status();
  }

  void ExpectViolation(const std::function<void(FrameHeader&)>& spoil, const std::string& part) {
    const absl::Status status = Call(spoil);
    EXPECT_THAT(status, FailsWith(StatusCode::kInternal, part));
    EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted) << status;
    EXPECT_TRUE(server_->PeerHangsUp());
    EXPECT_TRUE(Eventually([&] { return log.Has(part); }));
    EXPECT_EQ(log.lines().size(), 1u);
    // The channel goes on with the next server.
    Pending next = SayAsync(Echo::Stub(channel_), "", {.timeout = kLong});
    server_ = std::make_unique<RawServer>(door_);
    Answer([](FrameHeader&) {});
    EXPECT_TRUE(next.get().ok());
  }

  RawDoor door_;
  std::unique_ptr<RawServer> server_;
  std::shared_ptr<Channel> channel_;
};

TEST_F(HostileServerTest, CorrectReplyIsTaken) {
  EXPECT_TRUE(Call([](FrameHeader&) {}).ok());
}

TEST_F(HostileServerTest, SequenceNumberSkipped) {
  ExpectViolation([](FrameHeader& reply) { reply.sequence = 5; }, "lane 1: expected frame 1, received 5");
}

TEST_F(HostileServerTest, FrameOfAnotherSource) {
  ExpectViolation([](FrameHeader& reply) { reply.source_id = 99; }, "a frame from source 99 where only 7 may send");
}

TEST_F(HostileServerTest, KindThatOnlyAClientSends) {
  ExpectViolation([](FrameHeader& reply) { reply.kind = FrameKind::kRequest; }, "expected a reply");
}

TEST_F(HostileServerTest, ACallOfItsOwnWhereItWasGrantedNone) {
  EXPECT_EQ(server_->connection().peer_terms.max_calls_in_flight, 0u);
  ExpectViolation([](FrameHeader& reply) { reply.call_id |= wire::kBegunByAcceptor; }, "where it was granted none");
}

TEST_F(HostileServerTest, ReplyOfAnotherMethod) {
  ExpectViolation([](FrameHeader& reply) { reply.method_id = 1; }, "another method than its call");
}

TEST_F(HostileServerTest, StatusThatDoesNotExist) {
  ExpectViolation([](FrameHeader& reply) { reply.status = 99; }, "status");
}

TEST_F(HostileServerTest, ViolationIsNamedByEachCallInFlight) {
  std::vector<Pending> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(SayAsync(Echo::Stub(channel_), "", {.timeout = kLong}));
  for (int i = 0; i < 2; ++i) server_->Receive();
  Answer([](FrameHeader& reply) { reply.sequence = 5; });
  for (Pending& call : calls) {
    EXPECT_THAT(call.get().status(),
                FailsWith(StatusCode::kInternal, absl::StrCat("protocol violation by the server at ", Address())));
  }
}

TEST_F(HostileServerTest, EnvelopeThatDoesNotParseEndsItsCallOnly) {
  const absl::Status status = Call(
      [](FrameHeader& reply) {
        reply.flags |= wire::kEnvelope;
        reply.envelope_size = 16;
        reply.status = static_cast<uint8_t>(StatusCode::kAborted);
      },
      16);
  EXPECT_EQ(status.code(), StatusCode::kInternal) << status;
}

TEST_F(HostileServerTest, ReplyToNoCallIsIgnored) {
  Pending call = SayAsync(Echo::Stub(channel_), "", {.timeout = kLong});
  const FrameHeader request = server_->Receive();
  FrameHeader reply = server_->Header(FrameKind::kReply, 0);
  reply.method_id = request.method_id;
  reply.call_id = request.call_id + (uint64_t{1} << 16);
  server_->Send(reply);
  reply.sequence = 2;
  reply.call_id = request.call_id;
  server_->Send(reply);
  EXPECT_TRUE(call.get().ok());
}

// Nothing tells the sleeping caller that it is there.
TEST_F(HostileServerTest, ReplyThatNobodyRingsForEndsTheCallAllTheSame) {
  Pending call = SayAsync(Echo::Stub(channel_), "");
  const FrameHeader request = server_->Receive();
  FrameHeader reply = server_->Header(FrameKind::kReply, 0);
  reply.call_id = request.call_id;
  reply.method_id = request.method_id;
  std::vector<std::byte> frame(wire::kHeaderSize);
  wire::EncodeHeader(reply, frame);
  transport::Transport& transport = *server_->connection().transport;
  EXPECT_TRUE(Eventually([&] { return transport.peer_cpu() == -1; })) << "the caller does not sleep";
  transport.Fill(transport.Reserve(frame.size(), 1), frame);
  transport.Commit();
  transport.Flush();
  EXPECT_TRUE(call.get().ok());
}

TEST_F(HostileServerTest, SilenceEndsTheCallAtItsDeadline) {
  Pending call = SayAsync(Echo::Stub(channel_), "", {.timeout = absl::Milliseconds(500)});
  server_->Receive();
  EXPECT_EQ(call.get().status().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(HostileServerTest, ReplyThatIsTooLargeEndsItsCallAtItsFirstFrame) {
  const absl::Status status = Call(
      [](FrameHeader& reply) {
        reply.flags = wire::kFirst;
        reply.message_size = uint32_t{1} << 31;
      },
      8);
  EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, "ChannelOptions::max_message_size"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
}

TEST_F(HostileServerTest, ServerThatHangsUpInTheMiddleOfAReply) {
  Pending call = SayAsync(Echo::Stub(channel_), "", {.timeout = kLong});
  Answer(
      [](FrameHeader& reply) {
        reply.flags = wire::kFirst;
        reply.message_size = 1000;
      },
      8);
  server_.reset();
  EXPECT_EQ(call.get().status().code(), StatusCode::kUnavailable);
}

// ---- one that its client serves ----

class HostileCallerTest : public IntegrationTest {
 protected:
  HostileCallerTest() : door_(Address()) {
    auto connected = std::async(std::launch::async, [this] { return Connect({.services = {&echo}}); });
    server_ = std::make_unique<RawServer>(door_);
    channel_ = connected.get();
  }

  FrameHeader Request(uint64_t call_id, uint64_t sequence = 1) {
    FrameHeader request = server_->Header(FrameKind::kRequest, 0);
    request.call_id = wire::kBegunByAcceptor | call_id;
    request.sequence = sequence;
    return request;
  }

  void ExpectViolation(const std::string& part) {
    EXPECT_TRUE(server_->PeerHangsUp());
    EXPECT_TRUE(Eventually([&] { return log.Has(part); }));
    EXPECT_EQ(log.lines().size(), 1u);
  }

  RawDoor door_;
  std::unique_ptr<RawServer> server_;
  std::shared_ptr<Channel> channel_;
};

TEST_F(HostileCallerTest, ACorrectRequestIsServed) {
  EXPECT_EQ(server_->connection().peer_terms.max_calls_in_flight, 64u);
  server_->Send(Request(1 << 16));
  const FrameHeader reply = server_->Receive();
  EXPECT_EQ(reply.kind, FrameKind::kReply);
  EXPECT_EQ(reply.call_id, wire::kBegunByAcceptor | 1 << 16);
  EXPECT_EQ(reply.status, 0);
}

TEST_F(HostileCallerTest, ASlotThatWasNotGranted) {
  server_->Send(Request((1 << 16) + 64));
  ExpectViolation("has slot 64, where 64 slots were granted");
}

TEST_F(HostileCallerTest, ASlotWhoseCallRuns) {
  Event may_end;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  server_->Send(Request(1 << 16));
  server_->Send(Request(2 << 16, 2));
  ExpectViolation("which has not been answered");
  may_end.Set();
  channel_.reset();  // waits for the handler
}

TEST_F(HostileCallerTest, AReplyToACallThatIsItsOwn) {
  FrameHeader reply = server_->Header(FrameKind::kReply, 0);
  reply.call_id = wire::kBegunByAcceptor | 1 << 16;
  server_->Send(reply);
  ExpectViolation("expected a request");
}

TEST_F(HostileCallerTest, ACancelOfItsClientsCall) {
  const std::array<std::byte, 16> cancel = {std::byte{1}, {}, {}, {}, {}, {}, {}, {}, std::byte{1}};
  server_->SendControl(cancel);
  ExpectViolation("a cancel of call 1");
}

}  // namespace
}  // namespace nearcall::integration
