// SPDX-License-Identifier: Apache-2.0

// The end of a server: graceful, forced, by a signal, by a handler.
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "child.h"
#include "fixture.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ShutdownTest : public IntegrationTest {
 protected:
  using Method = absl::StatusOr<Blob> (Echo::Stub::*)(const Blob&, const CallOptions&) const;
  void ExpectHandlerMayShutDown(Method method) {
    std::unique_ptr<Server> server;
    echo.say = echo.may_block = [&](ServerContext& context, const Blob& request, Blob& reply) {
      server->Shutdown(kLong);
      return EchoBack(context, request, reply);
    };
    server = StartServer();
    const auto reply = (ConnectStub().*method)(MakeBlob("last words"), {.timeout = kLong});
    server->Wait();
    EXPECT_EQ(Must(reply).data(), "last words");
  }

  // A handler that begins, and runs until it is told to end or is cancelled.
  void BlockSay() {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      if (request.data() != "block") return EchoBack(context, request, reply);
      const std::stop_callback on_stop(context.stop_token(), [this] {
        cancelled.Set();
        may_end.Set();
      });
      began.Set();
      may_end.Wait();
      reply.set_data("done");
      return absl::OkStatus();
    };
  }

  Event began;
  Event may_end;
  Event cancelled;
};

TEST_F(ShutdownTest, IdleServerEndsAtOnce) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  const absl::Time before = absl::Now();
  server->Shutdown(absl::Hours(1));
  server->Wait();
  EXPECT_LT(absl::Now() - before, absl::Seconds(10));
}

TEST_F(ShutdownTest, IsIdempotent) {
  const auto server = StartServer();
  server->Shutdown();
  server->Shutdown(kLong);
  server->Wait();
}

// It only begins: the program may have to do something else before the calls can end.
TEST_F(ShutdownTest, NobodyWaitsInIt) {
  BlockSay();
  const auto server = StartServer();
  Pending call = SayAsync(ConnectStub(), "block");
  began.Wait();
  server->Shutdown(kLong);
  may_end.Set();
  server->Wait();
  EXPECT_EQ(Must(call.get()).data(), "done");
}

TEST_F(ShutdownTest, ALaterOneWithLessGraceShortensIt) {
  BlockSay();
  const auto server = StartServer();
  Pending call = SayAsync(ConnectStub(), "block");
  began.Wait();
  const absl::Time before = absl::Now();
  server->Shutdown(absl::Hours(1));
  server->Shutdown(absl::Hours(2));
  server->Shutdown(absl::Milliseconds(10));
  server->Shutdown(absl::Hours(1));
  server->Wait();
  EXPECT_LT(absl::Now() - before, absl::Seconds(20));
  EXPECT_TRUE(cancelled.is_set());
  EXPECT_THAT(call.get().status(), FailsWith(StatusCode::kUnavailable, Address()));
}

TEST_F(ShutdownTest, AHandlerThatWaitsForItGoesOnAndTheLogSaysWhy) {
  std::unique_ptr<Server> server;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    server->Wait();
    return EchoBack(context, request, reply);
  };
  server = StartServer();
  EXPECT_TRUE(ConnectStub().Say(MakeBlob(""), {.timeout = kLong}).ok());
  EXPECT_TRUE(Eventually([&] { return log.Has("Server::Wait in a handler"); }));
}

TEST_F(ShutdownTest, RunningCallFinishesWithinTheGracePeriod) {
  BlockSay();
  const auto server = StartServer();
  Pending call = SayAsync(ConnectStub(), "block");
  began.Wait();
  server->Shutdown(kLong);
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), "draining"); }));
  may_end.Set();
  EXPECT_EQ(Must(call.get()).data(), "done");
  server->Wait();
  EXPECT_FALSE(cancelled.is_set());
}

TEST_F(ShutdownTest, LargeReplyIsDeliveredBeforeTheEnd) {
  echo.say = [this](ServerContext&, const Blob&, Blob& reply) {
    began.Set();
    may_end.Wait();
    reply.set_data(std::string(5'000'000, 'r'));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  Pending call = SayAsync(ConnectStub(), "");
  began.Wait();
  server->Shutdown(kLong);
  may_end.Set();
  EXPECT_EQ(Must(call.get()).data().size(), 5'000'000u);
}

TEST_F(ShutdownTest, RunningCallIsCancelledAfterTheGracePeriod) {
  BlockSay();
  const auto server = StartServer();
  Pending call = SayAsync(ConnectStub(), "block");
  began.Wait();
  server->Shutdown(absl::Milliseconds(10));
  server->Wait();
  EXPECT_TRUE(cancelled.is_set());
  const absl::Status status = call.get().status();
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, Address()));
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
}

TEST_F(ShutdownTest, NewCallIsRefusedDuringTheGracePeriod) {
  BlockSay();
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  Pending call = SayAsync(stub, "block");
  began.Wait();
  server->Shutdown(kLong);
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), "draining"); }));
  const absl::Status status = stub.Say(MakeBlob(""), {.timeout = kLong}).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  EXPECT_NE(ExecStateOf(status), ExecState::kMaybeExecuted) << status;
  EXPECT_EQ(Channel::Connect(Address()).status().code(), StatusCode::kUnavailable);
  may_end.Set();
  EXPECT_TRUE(call.get().ok());
}

// A client that has not heard of it yet, or does not want to.
TEST_F(ShutdownTest, WhoGoesOnCallingAfterGoAwayIsRefused) {
  BlockSay();
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  RawClient deaf(Address());
  wire::FrameHeader request = deaf.Header(wire::FrameKind::kRequest, 0);
  deaf.Send(request);
  EXPECT_EQ(deaf.Receive().status, 0) << "its handshake is over";
  Pending call = SayAsync(stub, "block");
  began.Wait();
  server->Shutdown(kLong);
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), "draining"); }));
  request.sequence = request.call_id = 2;
  deaf.Send(request);
  EXPECT_EQ(deaf.Receive().status, static_cast<uint8_t>(StatusCode::kUnavailable));
  may_end.Set();
  EXPECT_TRUE(call.get().ok());
}

TEST_F(ShutdownTest, SuccessorStartsDuringTheGracePeriodAndTheSameChannelReachesIt) {
  BlockSay();
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  Pending call = SayAsync(stub, "block");
  began.Wait();
  server->Shutdown(kLong);
  SecondService second;
  std::unique_ptr<Server> successor;
  ASSERT_TRUE(Eventually([&] {
    auto started = ServerBuilder().Listen(Address()).Register(&echo).Register(&second).Start();
    if (started.ok()) successor = *std::move(started);
    return successor != nullptr;
  }));
  EXPECT_EQ(Must(stub.Say(MakeBlob("next"), {.timeout = kLong, .wait_for_ready = true})).data(), "next");
  may_end.Set();
  EXPECT_EQ(Must(call.get()).data(), "done");
  server->Wait();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
}

TEST_F(ShutdownTest, HandlerMayAskForIt) {
  ExpectHandlerMayShutDown(&Echo::Stub::Say);
}

TEST_F(ShutdownTest, BlockingHandlerMayAskForItToo) {
  ExpectHandlerMayShutDown(&Echo::Stub::MayBlock);
}

TEST_F(ShutdownTest, QueuedCallsEndWithUnavailableOrTheirReply) {
  BlockSay();
  auto server = StartServer({.max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  std::vector<Pending> calls;
  calls.push_back(SayAsync(stub, "block"));
  began.Wait();
  for (int i = 0; i < 5; ++i) calls.push_back(SayAsync(stub, "queued"));
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 6; }));
  server.reset();
  for (Pending& call : calls) {
    const absl::Status status = call.get().status();
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kUnavailable) << status;
  }
}

TEST_F(ShutdownTest, ServerWithIdleClientsIsDestroyedWithoutShutdown) {
  auto server = StartServer();
  std::vector<std::shared_ptr<Channel>> channels;
  for (int i = 0; i < 10; ++i) channels.push_back(Connect());
  server.reset();
  EXPECT_EQ(Echo::Stub(channels[0]).Say(MakeBlob("")).status().code(), StatusCode::kUnavailable);
}

TEST_F(ShutdownTest, ChannelMayOutliveItsServer) {
  auto server = StartServer();
  auto channel = Connect();
  server.reset();
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "dead"); }));
  channel.reset();
}

// --- signals ---

class SignalTest : public ShutdownTest {
 protected:
  // Of a child process.
  void ServeUntilSignal(Link& parent) {
    echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
      if (request.data() == "hold") {
        parent.Tell("running");
        EXPECT_TRUE(Eventually([&] { return context.IsCancelled(); }));
      }
      return EchoBack(context, request, reply);
    };
    const auto server = StartServer({.handle_signals = true, .signal_grace = kLong});
    parent.Tell();
    server->Wait();
    parent.Tell("ended");
  }
};

TEST_F(SignalTest, EndsTheServerAndLetsTheRunningCallFinish) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Child child([this](Link& parent) { ServeUntilSignal(parent); });
    child.link().Await();
    {
      const Echo::Stub stub = ConnectStub();
      EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
    }
    ::kill(child.pid(), signal);
    EXPECT_EQ(child.link().Await(), "ended");
    EXPECT_EQ(child.Join(), 0);
  }
}

TEST_F(SignalTest, GivesTheRunningCallItsGrace) {
  Child child([this](Link& parent) {
    echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
      parent.Tell("running");
      parent.Await();
      return EchoBack(context, request, reply);
    };
    const auto server = StartServer({.handle_signals = true, .signal_grace = kLong});
    parent.Tell();
    server->Wait();
  });
  child.link().Await();
  Pending call = SayAsync(ConnectStub(), "graceful");
  EXPECT_EQ(child.link().Await(), "running");
  ::kill(child.pid(), SIGTERM);
  EXPECT_TRUE(Eventually([] { return Channel::Connect(Address()).status().code() == StatusCode::kUnavailable; }));
  child.link().Tell();
  EXPECT_EQ(Must(call.get()).data(), "graceful");
  EXPECT_EQ(child.Join(), 0);
}

TEST_F(SignalTest, ASecondOneEndsTheGrace) {
  for (int i = 0; i < 5; ++i) {
    Child child([this](Link& parent) { ServeUntilSignal(parent); });
    child.link().Await();
    Pending call = SayAsync(ConnectStub(), "hold");
    EXPECT_EQ(child.link().Await(), "running");
    const absl::Time before = absl::Now();
    ::kill(child.pid(), SIGTERM);
    EXPECT_TRUE(Eventually([] { return Channel::Connect(Address()).status().code() == StatusCode::kUnavailable; }));
    ::kill(child.pid(), i % 2 == 0 ? SIGTERM : SIGINT);
    EXPECT_EQ(child.link().Await(), "ended");
    EXPECT_EQ(child.Join(), 0);
    EXPECT_LT(absl::Now() - before, kLong / 2);
    EXPECT_EQ(call.get().status().code(), StatusCode::kUnavailable);
  }
}

TEST_F(SignalTest, SecondServerThatWantsSignalsIsRefused) {
  const auto first = StartServer({.handle_signals = true});
  EXPECT_THAT(ServerBuilder({.handle_signals = true}).Listen(Address("other")).Register(&echo).Start().status(),
              FailsWith(StatusCode::kFailedPrecondition, "handles signals"));
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
}

TEST_F(SignalTest, FormerHandlerComesBack) {
  struct sigaction before = {};
  struct sigaction after = {};
  ::sigaction(SIGTERM, nullptr, &before);
  StartServer({.handle_signals = true});
  ::sigaction(SIGTERM, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

}  // namespace
}  // namespace nearcall::integration
