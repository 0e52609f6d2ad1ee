// SPDX-License-Identifier: Apache-2.0

// The server calls its client: ChannelOptions::services and ServerContext::client().
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "back_call_fixture.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

TEST_F(BackCallTest, ReachesTheClientDuringItsCall) {
  mine.say = [](ServerContext&, const Blob& request, Blob& reply) {
    reply = MakeBlob("client says " + request.data());
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub(ConnectServing());
  for (const char* word : {"one", "two"})
    EXPECT_EQ(Must(stub.Say(MakeBlob(word))).data(), absl::StrCat("client says ", word));
}

TEST_F(BackCallTest, RunsOnNoThreadThatCalls) {
  std::thread::id handler;
  mine.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    handler = std::this_thread::get_id();
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  ASSERT_TRUE(Echo::Stub(ConnectServing()).Say(MakeBlob("")).ok());
  EXPECT_NE(handler, std::this_thread::get_id());
}

TEST_F(BackCallTest, TheHandlerKnowsItsCaller) {
  PeerIdentity peer{};
  Metadata metadata;
  std::string transport;
  mine.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    peer = context.peer();
    transport = std::string(context.transport());
    metadata = context.client_metadata();
    EXPECT_EQ(context.method(), "nearcall.integration.Echo/Say");
    EXPECT_LT(context.deadline(), absl::Now() + 2 * kLong);
    return EchoBack(context, request, reply);
  };
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    CallOptions options = CallOptions::FromServer(context);
    options.metadata.Add("key", "value");
    return Echo::Stub(context.client()).Say(request, &reply, options);
  };
  const auto server = StartServer();
  ASSERT_TRUE(Echo::Stub(ConnectServing()).Say(MakeBlob(""), InTime()).ok());
  EXPECT_EQ(peer.pid, KnownPid(::getpid()));
  EXPECT_EQ(transport, TransportName());
  EXPECT_EQ(metadata.Get("key"), "value");
}

// A handler of the client is one of the server's callers, over the same connection, and so on.
TEST_F(BackCallTest, NestsBothWays) {
  constexpr int kDepth = 50;
  const auto deeper = [](const Echo::Stub& stub, const Blob& request, Blob& reply) {
    const int depth = std::stoi(request.data());
    if (depth == 0) {
      reply = MakeBlob("bottom");
      return absl::OkStatus();
    }
    return stub.Say(MakeBlob(std::to_string(depth - 1)), &reply, InTime());
  };
  std::shared_ptr<Channel> channel;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    return deeper(Echo::Stub(context.client()), request, reply);
  };
  mine.say = [&](ServerContext&, const Blob& request, Blob& reply) {
    return deeper(Echo::Stub(channel), request, reply);
  };
  // Places for two handlers only: who waits for a call of his own has none.
  const auto server = StartServer({.max_handler_threads = 2});
  channel = ConnectServing();
  EXPECT_EQ(Must(Echo::Stub(channel).Say(MakeBlob(std::to_string(kDepth)), InTime())).data(), "bottom");
}

TEST_F(BackCallTest, AHandlerOfTheClientMayCallBackByItsContext) {
  mine.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    return Echo::Stub(context.client()).MayBlock(request, &reply, InTime());
  };
  const auto server = StartServer();
  EXPECT_EQ(Must(Echo::Stub(ConnectServing()).Say(MakeBlob("there and back"))).data(), "there and back");
}

TEST_F(BackCallTest, AClientThatServesNothingIsNotHarmed) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  const absl::Status status = stub.Say(MakeBlob("")).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kUnimplemented, "ChannelOptions::services"));
  EXPECT_TRUE(stub.MayBlock(MakeBlob("")).ok());
}

TEST_F(BackCallTest, AMethodThatTheClientDoesNotHave) {
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    return Second::Stub(context.client()).Say(request, &reply);
  };
  const auto server = StartServer();
  EXPECT_THAT(Echo::Stub(ConnectServing()).Say(MakeBlob("")).status(),
              FailsWith(StatusCode::kUnimplemented, "nearcall.integration.Second/Say"));
}

TEST_F(BackCallTest, AnErrorOfTheClientsIsTheServersStatus) {
  mine.say = [](ServerContext&, const Blob&, Blob&) { return absl::NotFoundError("not here"); };
  absl::Status inner;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    return inner = AskTheClient(context, request, reply);
  };
  const auto server = StartServer();
  EXPECT_THAT(Echo::Stub(ConnectServing()).Say(MakeBlob("")).status(), FailsWith(StatusCode::kNotFound, "not here"));
  EXPECT_EQ(ExecStateOf(inner), ExecState::kExecuted);
}

TEST_F(BackCallTest, AnySizeGoesBothWays) {
  const auto server = StartServer();
  const Echo::Stub stub(ConnectServing());
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100'000}, size_t{5} << 20}) {
    const std::string data(size, 'x');
    EXPECT_TRUE(Must(stub.Say(MakeBlob(data), InTime())).data() == data) << size;
  }
}

TEST_F(BackCallTest, ManyAtOnceComeThrough) {
  const auto server = StartServer();
  const Echo::Stub stub(ConnectServing());
  std::vector<Pending> calls;
  for (size_t i = 0; i < 40; ++i) calls.push_back(SayAsync(stub, std::to_string(i), InTime()));
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(Must(calls[i].get()).data(), std::to_string(i));
}

// ---- without a call of the client's ----

TEST_F(BackCallTest, TheChannelToTheClientOutlivesTheHandler) {
  HandOutTheClient();
  const auto server = StartServer();
  const auto channel = ConnectServing();
  const Echo::Stub back(ClientOf(channel));
  EXPECT_EQ(Must(back.Say(MakeBlob("pushed"), InTime())).data(), "pushed");
  EXPECT_EQ(client->state(), ChannelState::kReady);
}

TEST_F(BackCallTest, WhenTheClientHasGoneCallsAreUnavailable) {
  HandOutTheClient();
  const auto server = StartServer();
  const Echo::Stub back(ClientOf(ConnectServing()));
  const absl::Status status = [&] {
    absl::Status ended;
    EXPECT_TRUE(Eventually([&] { return !(ended = back.Say(MakeBlob(""), InTime()).status()).ok(); }));
    return ended;
  }();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  EXPECT_THAT(back.Say(MakeBlob(""), {.timeout = kLong, .wait_for_ready = true}).status(),
              FailsWith(StatusCode::kUnavailable, "has gone away"));
  EXPECT_EQ(client->state(), ChannelState::kShutdown);
}

TEST_F(BackCallTest, TheChannelToTheClientMayOutliveTheServer) {
  HandOutTheClient();
  auto server = StartServer();
  const auto channel = ConnectServing();
  const Echo::Stub back(ClientOf(channel));
  server.reset();
  EXPECT_EQ(back.Say(MakeBlob(""), InTime()).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nearcall::integration
