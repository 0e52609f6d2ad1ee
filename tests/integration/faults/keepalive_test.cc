// SPDX-License-Identifier: Apache-2.0

// A server that is alive and does nothing, and one that works, as a client with a keepalive sees them.
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <memory>
#include <vector>

#include "child.h"
#include "raw_peer.h"
#include "stream_fixture.h"
#include "transport/rendezvous/control_message.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using transport::ControlMessage;

constexpr KeepaliveOptions kImpatient = {.interval = absl::Milliseconds(20), .timeout = absl::Seconds(1)};
constexpr KeepaliveOptions kPatient = {.interval = absl::Milliseconds(20), .timeout = kLong};

void Stop(pid_t pid) {
  ::kill(pid, SIGSTOP);
  ASSERT_EQ(::waitpid(pid, nullptr, WUNTRACED), pid);
}

void ExpectGivenUp(const absl::Status& status) {
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, "has not answered a ping for 1s"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted) << status;
}

class KeepaliveTest : public StreamTest {
 protected:
  // A process that serves until it is told to end.
  static Child::Body Serving(KeepaliveTest& test) {
    return [&test](Link& parent) {
      const auto started = test.StartServer();
      parent.Tell();
      parent.Await();
    };
  }
};

// None of the calls has a deadline that would end it.
TEST_F(KeepaliveTest, CallsToAStoppedServerEndAndTheNextOneConnectsAgain) {
  Child server(Serving(*this));
  server.link().Await();
  const auto channel = Connect({.log_sink = log.sink(), .keepalive = kImpatient});
  const Echo::Stub stub(channel);
  const Echo::AsyncStub async(channel);
  const auto chat = Streams::Stub(channel).Chat();
  Blob element;
  EXPECT_TRUE(chat->Write(Element(1, 10)) && chat->Read(&element));
  Must(stub.Say(MakeBlob("")));
  Stop(server.pid());
  Event ended;
  async.Say(MakeBlob("async"), [&](const absl::StatusOr<Blob>& reply) {
    ExpectGivenUp(reply.status());
    ended.Set();
  });
  Pending blocking = SayAsync(stub, "blocking");
  EXPECT_FALSE(chat->Read(&element));
  ExpectGivenUp(chat->Finish());
  ExpectGivenUp(blocking.get().status());
  ended.Wait();
  EXPECT_EQ(channel->state(), ChannelState::kIdle);
  EXPECT_TRUE(Eventually([&] { return log.Has("has not answered a ping"); }));
  ::kill(server.pid(), SIGCONT);
  EXPECT_EQ(Must(stub.Say(MakeBlob("again"), InTime())).data(), "again");
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

TEST_F(KeepaliveTest, AnIdleChannelNoticesAStoppedServerIfItIsToldTo) {
  NEEDS_SOCKETS();
  Child server(Serving(*this));
  server.link().Await();
  KeepaliveOptions keepalive = kImpatient;
  keepalive.without_calls = true;
  const auto watchful = Connect({.keepalive = keepalive});
  const auto idle = Connect({.keepalive = kImpatient});
  Stop(server.pid());
  EXPECT_TRUE(watchful->WaitForStateChange(ChannelState::kReady, absl::Now() + kLong));
  EXPECT_EQ(watchful->state(), ChannelState::kIdle);
  EXPECT_EQ(idle->state(), ChannelState::kReady);
  ::kill(server.pid(), SIGCONT);
  Must(Echo::Stub(idle).Say(MakeBlob(""), InTime()));
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

// It is the client that was stopped, and does not blame the server.
TEST_F(KeepaliveTest, AClientThatWasStoppedGoesOn) {
  Child client([this](Link& parent) {
    parent.Await();
    const Echo::Stub stub = ConnectStub({.keepalive = kImpatient});
    Pending call = SayAsync(stub, "slow");
    parent.Tell();
    EXPECT_EQ(Must(call.get()).data(), "slow");
  });
  Event may_end;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    began.Set();
    may_end.Wait();
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  client.link().Tell();
  client.link().Await();
  began.Wait();
  Stop(client.pid());
  absl::SleepFor(2 * kImpatient.timeout);
  ::kill(client.pid(), SIGCONT);
  absl::SleepFor(kImpatient.timeout);
  may_end.Set();
  EXPECT_EQ(client.Join(), 0);
}

// ---- handlers that hang ----

class HangingHandlersTest : public KeepaliveTest {
 protected:
  HangingHandlersTest() {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      began_.Add();
      may_end_.Wait();
      return EchoBack(context, request, reply);
    };
  }

  // All places are taken, and another call waits for one. Nothing ends the connection: any handler may be just slow.
  void ExpectTheCallsSay(const std::string& part, const std::shared_ptr<Channel>& channel) {
    const Echo::Stub stub(channel);
    std::vector<Pending> calls;
    for (size_t i = 0; i < kPlaces; ++i) calls.push_back(SayAsync(stub, "hangs"));
    began_.WaitFor(kPlaces - 1);  // one is for urgent calls
    const absl::Status status = stub.Say(MakeBlob("waits"), {.timeout = absl::Seconds(2)}).status();
    EXPECT_THAT(status, FailsWith(StatusCode::kDeadlineExceeded, part));
    EXPECT_THAT(status, FailsWith(StatusCode::kDeadlineExceeded, "the server is alive (it answered a ping "));
    EXPECT_EQ(channel->state(), ChannelState::kReady);
    may_end_.Set();
    for (Pending& call : calls) EXPECT_EQ(Must(call.get()).data(), "hangs");
  }

  static constexpr size_t kPlaces = 3;
  Counter began_;
  Event may_end_;
};

TEST_F(HangingHandlersTest, AreToldFromAServerThatIsStopped) {
  const auto server = StartServer({.max_handler_threads = kPlaces});
  ExpectTheCallsSay("handlers running: 2, none has begun or ended for ", Connect({.keepalive = kPatient}));
}

TEST_F(HangingHandlersTest, AreToldOfAServerOfThisProcessToo) {
  const auto server = StartServer({.max_handler_threads = kPlaces});
  ExpectTheCallsSay("handlers running: 2, none has begun or ended for ",
                    Must(server->InProcessChannel({.keepalive = kPatient})));
}

TEST_F(HangingHandlersTest, OthersThatBeginAndEndAreTold) {
  echo.may_block = EchoBack;
  const auto server = StartServer();
  const auto channel = Connect({.keepalive = {.interval = absl::Milliseconds(100), .timeout = kLong}});
  std::atomic<bool> over = false;
  auto others = std::async(std::launch::async, [&] {
    const Echo::Stub stub = ConnectStub();
    while (!over) Must(stub.MayBlock(MakeBlob(""), InTime()));
  });
  EXPECT_THAT(Echo::Stub(channel).Say(MakeBlob("hangs"), {.timeout = absl::Seconds(1)}).status(),
              FailsWith(StatusCode::kDeadlineExceeded, ", others begin and end"));
  over = true;
  others.get();
  may_end_.Set();
}

// ---- peers that do as they like ----

TEST_F(KeepaliveTest, AFloodOfPingsHurtsNobodyElse) {
  NEEDS_SOCKETS();
  const auto server = StartServer();
  const Echo::Stub other = ConnectStub({.keepalive = kPatient});
  RawClient hostile(Address());
  std::atomic<bool> over = false;
  auto flood = std::async(std::launch::async, [&] {
    size_t sent = 0;
    while (!over) {
      const auto ping = transport::EncodeControl({.kind = ControlMessage::Kind::kPing, .call_id = sent});
      if (::send(hostile.control(), ping.data(), ping.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) ++sent;
    }
    return sent;
  });
  for (size_t i = 0; i < 2000; ++i) ASSERT_TRUE(other.Say(Element(i, 100), InTime()).ok());
  // The monitor is not starved: a cancel goes by it.
  const auto chat = ConnectStreams().Chat();
  chat->Cancel();
  EXPECT_EQ(chat->Finish().code(), StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  over = true;
  EXPECT_GT(flood.get(), 1000u);
}

TEST_F(KeepaliveTest, AFloodOfPongsIsPassedOver) {
  RawDoor door(Address());
  auto connected = std::async(std::launch::async, [this] { return Connect({.keepalive = kPatient}); });
  RawServer server(door);
  const auto channel = connected.get();
  Pending call = SayAsync(Echo::Stub(channel), "", InTime());
  const wire::FrameHeader request = server.Receive();
  for (uint64_t i = 0; i < 10'000; ++i) {
    auto pong = transport::EncodeControl({.kind = ControlMessage::Kind::kPong, .call_id = i * i * i});
    pong[1 + i % 7] = static_cast<std::byte>(i);
    server.SendControl(pong);
  }
  wire::FrameHeader reply = server.Header(wire::FrameKind::kReply, 0);
  reply.call_id = request.call_id;
  reply.method_id = request.method_id;
  server.Send(reply);
  EXPECT_TRUE(call.get().ok());
  EXPECT_EQ(channel->state(), ChannelState::kReady);
}

}  // namespace
}  // namespace nearcall::integration
