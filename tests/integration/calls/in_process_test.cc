// SPDX-License-Identifier: Apache-2.0

// A channel to a server of the same process, without a name.
#include <unistd.h>

#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class InProcessTest : public IntegrationTest {};

TEST_F(InProcessTest, CallsArriveWithoutAName) {
  PeerIdentity peer{};
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    peer = context.peer();
    return EchoBack(context, request, reply);
  };
  const auto server = Must(ServerBuilder().Register(&echo).Start());
  const Echo::Stub stub(Must(server->InProcessChannel()));
  EXPECT_EQ(Must(stub.Say(MakeBlob("near"))).data(), "near");
  EXPECT_EQ(peer.pid, ::getpid());
}

TEST_F(InProcessTest, SeveralChannelsAreConnectionsOfTheirOwn) {
  const auto server = Must(ServerBuilder().Register(&echo).Start());
  const auto one = Must(server->InProcessChannel());
  const auto two = Must(server->InProcessChannel());
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 2; }));
  EXPECT_EQ(Must(Echo::Stub(one).Say(MakeBlob("1"))).data(), "1");
  EXPECT_EQ(Must(Echo::Stub(two).Say(MakeBlob("2"))).data(), "2");
}

TEST_F(InProcessTest, OptionsAreChecked) {
  const auto server = Must(ServerBuilder().Register(&echo).Start());
  EXPECT_THAT(server->InProcessChannel({.max_calls_in_flight = 0}).status(),
              FailsWith(StatusCode::kInvalidArgument, "max_calls_in_flight"));
}

TEST_F(InProcessTest, NotAfterShutdown) {
  const auto server = Must(ServerBuilder().Register(&echo).Start());
  server->Shutdown();
  EXPECT_EQ(server->InProcessChannel().status().code(), StatusCode::kUnavailable);
}

TEST_F(InProcessTest, ShutdownEndsTheChannel) {
  const auto server = Must(ServerBuilder().Register(&echo).Start());
  const Echo::Stub stub(Must(server->InProcessChannel()));
  server->Shutdown();
  server->Wait();
  EXPECT_EQ(stub.Say(MakeBlob("")).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nearcall::integration
