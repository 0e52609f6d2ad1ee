// SPDX-License-Identifier: Apache-2.0

// What one looks at when something is wrong.
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "fixture.h"

namespace nearcall::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DebugStringTest : public IntegrationTest {
 protected:
  // A call that runs until the end of the test.
  Pending Block(const Echo::Stub& stub) {
    Pending call = SayAsync(stub, "block");
    began.Wait();
    return call;
  }
  void BlockSay() {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      if (request.data() == "block") {
        began.Set();
        may_end.Wait();
      }
      return EchoBack(context, request, reply);
    };
  }

  Event began;
  Event may_end;
};

TEST_F(DebugStringTest, OfAnIdleServer) {
  SecondService second;
  const auto server =
      Must(ServerBuilder({.max_handler_threads = 7}).Listen(Address()).Register(&echo).Register(&second).Start());
  EXPECT_THAT(server->DebugString(),
              AllOf(HasSubstr("services: nearcall.integration.Echo, nearcall.integration.Second"),
                    HasSubstr(absl::StrCat("listening: ", directory(), "/echo")), HasSubstr("handlers running: 0 of 7"),
                    HasSubstr("calls active: 0"), Not(HasSubstr("draining"))));
}

TEST_F(DebugStringTest, OfABusyServer) {
  BlockSay();
  const auto server = StartServer({.max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  Pending blocked = Block(stub);
  Pending queued = std::async(std::launch::async, [&] { return stub.High(MakeBlob("")); });
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 2; }));
  EXPECT_THAT(server->DebugString(),
              AllOf(HasSubstr("handlers running: 1 of 1"), HasSubstr("started: 1"), HasSubstr("high 1, urgent 0"),
                    HasSubstr(absl::StrCat(TransportName(), ", client pid ", KnownPid(::getpid()), " uid ", ::geteuid(),
                                           ", 2 calls"))));
  may_end.Set();
}

TEST_F(DebugStringTest, OfAServerThatEnds) {
  BlockSay();
  const auto server = StartServer();
  Pending blocked = Block(ConnectStub());
  server->Shutdown(kLong);
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), "draining"); }));
  EXPECT_TRUE(Eventually([&] { return !absl::StrContains(server->DebugString(), "listening"); }));
  may_end.Set();
}

TEST_F(DebugStringTest, OfAChannel) {
  BlockSay();
  auto server = StartServer();
  const auto channel = Connect();
  EXPECT_THAT(channel->DebugString(),
              AllOf(HasSubstr(absl::StrCat("connection to ", Address(), " over ", TransportName())),
                    HasSubstr("0 calls in flight"), HasSubstr(absl::StrCat("server pid ", KnownPid(::getpid())))));
  {
    Pending blocked = Block(Echo::Stub(channel));
    EXPECT_THAT(channel->DebugString(), HasSubstr("1 calls in flight"));
    may_end.Set();
  }
  server.reset();
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "dead"); }));
  EXPECT_FALSE(Echo::Stub(channel).Say(MakeBlob("")).ok());
  EXPECT_EQ(channel->DebugString(), absl::StrCat("no connection to ", Address()));
  EXPECT_EQ(channel->transport(), TransportName());
}

// Anybody may look, at any time.
TEST_F(DebugStringTest, WhileCallsAndClientsComeAndGo) {
  const auto server = StartServer();
  const auto watched = Connect();
  std::atomic<bool> done = false;
  auto watcher = std::async(std::launch::async, [&] {
    while (!done) EXPECT_FALSE(server->DebugString().empty() || watched->DebugString().empty());
  });
  for (int i = 0; i < 30; ++i) {
    const auto channel = Channel::Connect(Address());
    EXPECT_TRUE(channel.ok() && Echo::Stub(*channel).Say(MakeBlob("")).ok()) << channel.status();
    EXPECT_TRUE(Echo::Stub(watched).Say(MakeBlob("")).ok());
  }
  done = true;
}

}  // namespace
}  // namespace nearcall::integration
