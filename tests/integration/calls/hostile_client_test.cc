// SPDX-License-Identifier: Apache-2.0

// Clients that shake hands and then break the protocol: they lose their connection, and nobody else notices.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <limits>
#include <stop_token>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "fixture.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

using wire::FrameHeader;
using wire::FrameKind;

class HostileClientTest : public IntegrationTest {
 protected:
  HostileClientTest() : server_(StartServer()), honest_(ConnectStub()) {}

  // What `hostile` has sent ends its connection with a line that holds each of `parts`; and nothing else ends.
  void ExpectThrownOut(RawClient& hostile, const std::vector<std::string>& parts) {
    EXPECT_TRUE(hostile.PeerHangsUp());
    EXPECT_TRUE(Eventually([this] { return log.Has("protocol violation by client pid"); }));
    for (const std::string& part : parts) EXPECT_TRUE(log.Has(part)) << part;
    const pid_t known = TransportUnderTest().MeetsAtSocket() ? ::getpid() : 0;
    EXPECT_TRUE(log.Has(absl::StrCat("client pid ", known)));
    EXPECT_TRUE(log.Has("the connection is closed"));
    EXPECT_EQ(log.lines().size(), 1u);
    EXPECT_TRUE(honest_.Say(MakeBlob("still here"), {.timeout = kLong}).ok());
    EXPECT_EQ(NumberIn(server_->DebugString(), "violations: "), 1u);
    EXPECT_TRUE(Eventually([this] { return ConnectionCount(*server_) == 1; }));
  }

  // A request that is right but for what `spoil` does to it.
  void ExpectThrownOut(const std::function<void(FrameHeader&)>& spoil, const std::vector<std::string>& parts) {
    RawClient hostile(Address());
    FrameHeader header = hostile.Header(FrameKind::kRequest, 0);
    spoil(header);
    hostile.Send(header);
    ExpectThrownOut(hostile, parts);
  }

  // By the control socket, which may be gone already.
  static void Ring(const RawClient& hostile) {
    const std::array<std::byte, 16> ring = {std::byte{5}};
    hostile.SendControl(ring);
  }

  // One of several frames of a request.
  static FrameHeader PartOfARequest(const RawClient& hostile, wire::FrameFlag flag) {
    FrameHeader header = hostile.Header(FrameKind::kRequest, 8);
    header.flags = flag;
    header.message_size = 100;
    return header;
  }

  std::unique_ptr<Server> server_;
  Echo::Stub honest_;
};

TEST_F(HostileClientTest, CorrectFramesAreServed) {
  RawClient client(Address());
  client.Send(client.Header(FrameKind::kRequest, 0));
  const FrameHeader reply = client.Receive();
  EXPECT_EQ(reply.kind, FrameKind::kReply);
  EXPECT_EQ(reply.call_id, 1u);
  EXPECT_EQ(reply.status, 0);
}

TEST_F(HostileClientTest, SequenceNumberSkipped) {
  ExpectThrownOut([](FrameHeader& header) { header.sequence = 7; }, {"lane 1: expected frame 1, received 7"});
}

TEST_F(HostileClientTest, SequenceNumberRepeated) {
  RawClient hostile(Address());
  for (int i = 0; i < 2; ++i) hostile.Send(hostile.Header(FrameKind::kRequest, 0));
  ExpectThrownOut(hostile, {"lane 1: expected frame 2, received 1"});
}

TEST_F(HostileClientTest, FrameOfAnotherSource) {
  ExpectThrownOut([](FrameHeader& header) { header.source_id += 1000; }, {"a frame from source", "may send"});
}

TEST_F(HostileClientTest, HeaderOfAnotherVersion) {
  ExpectThrownOut([](FrameHeader& header) { header.version = 9; }, {"version", "9"});
}

TEST_F(HostileClientTest, KindThatDoesNotExist) {
  ExpectThrownOut([](FrameHeader& header) { header.kind = static_cast<FrameKind>(77); }, {"kind", "77"});
}

TEST_F(HostileClientTest, KindThatOnlyAServerSends) {
  ExpectThrownOut(
      [](FrameHeader& header) {
        header.kind = FrameKind::kReply;
        header.flags = wire::kFirst | wire::kLast;
      },
      {"expected a request"});
}

TEST_F(HostileClientTest, LaneThatDoesNotExist) {
  ExpectThrownOut([](FrameHeader& header) { header.priority = 200; }, {"200"});
}

TEST_F(HostileClientTest, CallIdZero) {
  ExpectThrownOut([](FrameHeader& header) { header.call_id = 0; }, {"call"});
}

TEST_F(HostileClientTest, ARequestThatOnlyItsServerMayBegin) {
  ExpectThrownOut([](FrameHeader& header) { header.call_id |= wire::kBegunByAcceptor; },
                  {"which is not the client's to begin"});
}

TEST_F(HostileClientTest, AnAnswerToACallThatItsServerHasNotBegun) {
  ExpectThrownOut(
      [](FrameHeader& header) {
        header.kind = FrameKind::kReply;
        header.flags = wire::kFirst | wire::kLast;
        header.call_id |= wire::kBegunByAcceptor;
      },
      {"which this side has not begun"});
}

TEST_F(HostileClientTest, MessageSizeThatIsNotTrue) {
  ExpectThrownOut([](FrameHeader& header) { header.message_size = 5; }, {"payload_size 0, expected 5"});
}

TEST_F(HostileClientTest, EnvelopeLargerThanItsMessage) {
  ExpectThrownOut(
      [](FrameHeader& header) {
        header.flags |= wire::kEnvelope;
        header.envelope_size = 10;
      },
      {"envelope_size"});
}

TEST_F(HostileClientTest, FrameShorterThanAHeader) {
  RawClient hostile(Address());
  hostile.Send(std::vector<std::byte>(20));
  ExpectThrownOut(hostile, {"a frame of 20 B, less than its header"});
}

TEST_F(HostileClientTest, MessageThatGoesOnWithoutABeginning) {
  RawClient hostile(Address());
  hostile.Send(PartOfARequest(hostile, wire::kLast));
  ExpectThrownOut(hostile, {"goes on that has not begun"});
}

TEST_F(HostileClientTest, MessageInsideAnother) {
  RawClient hostile(Address());
  FrameHeader header = PartOfARequest(hostile, wire::kFirst);
  hostile.Send(header);
  header.sequence = 2;
  header.call_id = 2;
  hostile.Send(header);
  ExpectThrownOut(hostile, {"begins before the lane's last one has ended"});
}

TEST_F(HostileClientTest, ControlMessageThatIsNone) {
  RawClient hostile(Address());
  hostile.SendControl(std::vector<std::byte>(5, std::byte{0xff}));
  EXPECT_TRUE(hostile.PeerHangsUp());
  EXPECT_TRUE(Eventually([this] { return log.Has("protocol violation by client pid"); }));
  EXPECT_TRUE(honest_.Say(MakeBlob("still here"), {.timeout = kLong}).ok());
}

// --- what is no violation ---

TEST_F(HostileClientTest, MethodThatDoesNotExistIsAnswered) {
  RawClient client(Address());
  FrameHeader header = client.Header(FrameKind::kRequest, 0);
  header.method_id = 12345;
  client.Send(header);
  EXPECT_EQ(client.Receive().status, static_cast<uint8_t>(absl::StatusCode::kUnimplemented));
}

TEST_F(HostileClientTest, EnvelopeThatDoesNotParseIsAnswered) {
  RawClient client(Address());
  FrameHeader header = client.Header(FrameKind::kRequest, 16);  // zeros are no envelope
  header.flags |= wire::kEnvelope;
  header.envelope_size = 16;
  client.Send(header);
  EXPECT_EQ(client.Receive().status, static_cast<uint8_t>(absl::StatusCode::kInternal));
  EXPECT_TRUE(honest_.Say(MakeBlob("still here"), {.timeout = kLong}).ok());
}

TEST_F(HostileClientTest, LargestDeadlineIsAsNone) {
  RawClient client(Address());
  FrameHeader header = client.Header(FrameKind::kRequest, 0);
  header.time_left_ns = std::numeric_limits<int64_t>::max();
  client.Send(header);
  EXPECT_EQ(client.Receive().status, 0);
}

// 4 GiB are announced; nothing is allocated.
TEST_F(HostileClientTest, TooLargeMessageIsRefusedAtItsFirstFrame) {
  RawClient client(Address());
  FrameHeader header = client.Header(FrameKind::kRequest, 8);
  header.flags = wire::kFirst;
  header.message_size = std::numeric_limits<uint32_t>::max();
  client.Send(header);
  EXPECT_EQ(client.Receive().status, static_cast<uint8_t>(absl::StatusCode::kResourceExhausted));
}

// Each slot holds one call, so that more of them than were granted cannot be said.
TEST_F(HostileClientTest, ASlotThatIsTakenOrWasNotGrantedEndsTheConnection) {
  Event may_end;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_queued_calls = 4, .max_handler_threads = 1}, Address("other"));
  for (const uint64_t last : {uint64_t{4}, uint64_t{2}, uint64_t{2} + (1 << wire::kSlotBits)}) {
    RawClient client(Address("other"));
    FrameHeader header = client.Header(FrameKind::kRequest, 0);
    for (const uint64_t id : {uint64_t{1}, uint64_t{2}, uint64_t{3}, last}) {
      header.call_id = id;
      client.Send(header);
      ++header.sequence;
    }
    // The thread that reads may have gone into a handler after the first of them.
    Ring(client);
    EXPECT_TRUE(client.PeerHangsUp()) << last;
  }
  EXPECT_TRUE(Eventually([&] { return log.Has("call 4 has slot 4, where 4 slots were granted"); }));
  EXPECT_TRUE(Eventually([&] { return log.Has("call 65538 begins in the slot of call 2"); }));
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "violations: ") == 3; }));
  may_end.Set();
}

// A client frees a slot when the reply has come, so it must come for a request of which it sent a part only.
TEST_F(HostileClientTest, ARequestThatIsGivenUpInTheMiddleIsAnswered) {
  RawClient client(Address());
  FrameHeader header = client.Header(FrameKind::kRequest, 8);
  header.flags = wire::kFirst | wire::kEnd;
  header.message_size = 16;
  client.Send(header);
  header = client.Header(FrameKind::kRequest, 0);
  header.flags = wire::kLast | wire::kAborted | wire::kEnd;
  header.message_size = 16;
  header.sequence = 2;
  client.Send(header);
  const FrameHeader reply = client.Receive();
  EXPECT_EQ(reply.call_id, header.call_id);
  EXPECT_EQ(reply.status, static_cast<uint8_t>(absl::StatusCode::kCancelled));
}

TEST_F(HostileClientTest, ARequestOfAMethodThatDoesNotStreamRequestsMustBeTheOnlyOne) {
  RawClient client(Address());
  FrameHeader header = client.Header(FrameKind::kRequest, 0);
  header.flags = wire::kFirst | wire::kLast;
  client.Send(header);
  EXPECT_EQ(client.Receive().status, static_cast<uint8_t>(absl::StatusCode::kUnimplemented));
}

TEST_F(HostileClientTest, CancelsOfCallsThatNeverComeAreForgotten) {
  RawClient client(Address());
  // A control message is a kind in four bytes, four zero bytes, and a call id.
  std::vector<std::byte> cancel(16);
  cancel[0] = std::byte{1};
  for (int i = 0; i < 5000; ++i) {
    cancel[8] = static_cast<std::byte>(i % 200 + 10);
    client.SendControl(cancel);
  }
  client.Send(client.Header(FrameKind::kRequest, 0));
  EXPECT_EQ(client.Receive().status, 0);
}

// A place for a handler is free when the handler has returned, and not when nobody waits for it any more.
TEST_F(HostileClientTest, CancellingMakesNoRoomForMoreHandlers) {
  constexpr size_t kPlaces = 3;  // one of them for urgent calls
  Event may_end;
  Counter cancelled;
  std::atomic<size_t> running{0};
  std::atomic<size_t> most{0};
  echo.may_block = [&](ServerContext& context, const Blob&, Blob&) {
    most = std::max(most.load(), ++running);
    const std::stop_callback on_cancel(context.stop_token(), [&] { cancelled.Add(); });
    may_end.Wait();
    --running;
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_handler_threads = kPlaces}, Address("other"));
  const Echo::Stub stub(Connect({}, Address("other")));
  for (size_t i = 1; i <= 6; ++i) {
    std::stop_source stop;
    Pending call = std::async([&] { return stub.MayBlock(MakeBlob(""), {.stop_token = stop.get_token()}); });
    EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == i && running >= std::min(i, kPlaces - 1); }));
    stop.request_stop();
    EXPECT_EQ(call.get().status().code(), absl::StatusCode::kCancelled);
    cancelled.WaitFor(std::min(i, kPlaces - 1));
  }
  EXPECT_EQ(most, kPlaces - 1);
  may_end.Set();
}

// --- clients that do not read ---

TEST_F(HostileClientTest, RepliesThatNobodyTakesAreBounded) {
  Counter runs;
  echo.say = [&](ServerContext&, const Blob& request, Blob& reply) {
    if (!request.data().empty()) return absl::OkStatus();
    runs.Add();
    reply.set_data(std::string(500'000, 'r'));
    return absl::OkStatus();
  };
  constexpr size_t kPlaces = 8;
  const auto server = StartServer({.max_handler_threads = kPlaces}, Address("other"));
  RawClient greedy(Address("other"));
  FrameHeader header = greedy.Header(FrameKind::kRequest, 0);
  bool read = true;  // by the server; when it reads no more the transport is full
  for (uint64_t i = 1; i <= 200 && read; ++i) {
    header.sequence = header.call_id = i;
    Eventually([&] { return (read = greedy.TrySend(header)) || runs.value() >= 3; });
  }
  const Echo::Stub other(Connect({}, Address("other")));
  runs.WaitFor(3);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(other.Say(MakeBlob("other"), {.timeout = kLong}).ok());
  // What makes up the limit, and the handlers that were running beside each other when it was reached; not all 200.
  EXPECT_LE(runs.value(), base::kHeldBackPause / 500'000 + kPlaces);
}

// Nobody but who waits for room sees that the server does not read: the one whose handler it is says nothing.
TEST_F(HostileClientTest, AStuckHandlerOfASilentClientHoldsUpNoLargeMessage) {
  Event stuck;
  Event may_end;
  echo.say = [&](ServerContext&, const Blob& request, Blob&) {
    if (request.data().empty()) {
      stuck.Set();
      may_end.Wait();
    }
    return absl::OkStatus();
  };
  const auto server = StartServer({}, Address("other"));
  const Echo::Stub other(Connect({}, Address("other")));
  EXPECT_TRUE(other.Say(MakeBlob("other"), {.timeout = kLong}).ok());
  RawClient silent(Address("other"));
  silent.SendInSilence(silent.Header(FrameKind::kRequest, 0));
  stuck.Wait();
  EXPECT_TRUE(other.Say(MakeBlob(std::string(8 << 20, 'x')), {.timeout = kLong}).ok());
  may_end.Set();
}

}  // namespace
}  // namespace nearcall::integration
