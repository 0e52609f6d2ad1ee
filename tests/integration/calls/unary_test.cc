// SPDX-License-Identifier: Apache-2.0

// The plain call: what goes in comes out, and the handler knows who calls.
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "child.h"
#include "fixture.h"

namespace nearcall::integration {
namespace {

class UnaryTest : public IntegrationTest {};

TEST_F(UnaryTest, RepliesBetweenTwoProcesses) {
  Child server([this](Link& parent) {
    const auto running = StartServer();
    parent.Tell();
    parent.Await();
  });
  server.link().Await();
  const auto reply = ConnectStub().Say(MakeBlob("hello"));
  server.link().Tell();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->data(), "hello");
  EXPECT_EQ(server.Join(), 0);
}

TEST_F(UnaryTest, HandlerKnowsWhoCallsAndHow) {
  PeerIdentity peer{};
  std::string transport;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    peer = context.peer();
    transport = std::string(context.transport());
    return absl::OkStatus();
  };
  {
    const auto server = StartServer();
    ASSERT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
  }
  // Who opens a FIFO is of the user whose it is, and that is all that the kernel says.
  const bool is_known = TransportUnderTest().MeetsAtSocket();
  EXPECT_EQ(peer.pid, is_known ? ::getpid() : 0);
  EXPECT_EQ(peer.uid, ::geteuid());
  EXPECT_EQ(peer.gid, is_known ? ::getegid() : static_cast<gid_t>(-1));
  EXPECT_EQ(transport, TransportName());
}

TEST_F(UnaryTest, SequenceNumbersCountPerLane) {
  std::vector<uint64_t> numbers;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    numbers.push_back(context.sequence_number());
    return absl::OkStatus();
  };
  {
    const auto server = StartServer();
    const Echo::Stub stub = ConnectStub();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(stub.Say(MakeBlob("")).ok());
    ASSERT_TRUE(stub.High(MakeBlob("")).ok());
    ASSERT_TRUE(stub.Say(MakeBlob("")).ok());
  }
  EXPECT_THAT(numbers, ::testing::ElementsAre(1, 2, 3, 1, 4));
}

TEST_F(UnaryTest, ReuseFormFillsTheReplyAndClearsItWhenTheCallFails) {
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    EchoBack(context, request, reply).IgnoreError();
    return request.data() == "fail" ? absl::AbortedError("as asked") : absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  Blob reply = MakeBlob("left from before");
  EXPECT_TRUE(stub.Say(MakeBlob("new"), &reply).ok());
  EXPECT_EQ(reply.data(), "new");
  EXPECT_THAT(stub.Say(MakeBlob("fail"), &reply), FailsWith(absl::StatusCode::kAborted, "as asked"));
  EXPECT_EQ(reply.data(), "");
}

TEST_F(UnaryTest, StubKeepsTheChannelAlive) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  const Echo::Stub copy = stub;
  EXPECT_TRUE(copy.Say(MakeBlob("")).ok());
}

TEST_F(UnaryTest, ServesTwoServicesUnderTwoNames) {
  SecondService second;
  const auto server =
      Must(ServerBuilder().Listen(Address("one")).Listen(Address("two")).Register(&echo).Register(&second).Start());
  std::vector<std::string> names = {Address("one"), Address("two")};
  if (TransportUnderTest().MeetsAtSocket()) names.emplace_back("one");  // a bare one means no FIFO
  for (const std::string& name : names) {
    const auto channel = Connect({}, name);
    EXPECT_EQ(channel->transport(), TransportName());
    EXPECT_EQ(Must(Echo::Stub(channel).Say(MakeBlob("x"))).data(), "x");
    EXPECT_EQ(Must(Second::Stub(channel).Say(MakeBlob("x"))).data(), "second x");
  }
}

TEST_F(UnaryTest, AStartingServerIsNoNewsToItsNeighbours) {
  const auto first = StartServer({}, Address("one"));
  const auto second = StartServer({}, Address("two"));
  EXPECT_TRUE(ConnectStub({}, Address("one")).Say(MakeBlob("")).ok());
  EXPECT_THAT(log.lines(), ::testing::IsEmpty());
}

TEST_F(UnaryTest, ManyAddressesOfOneNameAreOneSocket) {
  const auto server = Must(ServerBuilder().Listen(Address()).Listen("echo").Listen(Address()).Register(&echo).Start());
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
}

TEST_F(UnaryTest, ServesAtAPath) {
  const std::string address = Address(directory() + "/sockets.d");
  const auto server = StartServer({}, address);
  EXPECT_TRUE(Echo::Stub(Connect({}, address)).Say(MakeBlob("")).ok());
}

// Callers of one channel share its one connection, and each gets its own reply.
TEST_F(UnaryTest, ManyThreadsShareOneChannel) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&, i] {
      Blob reply;
      for (int j = 0; j < 200; ++j) {
        const std::string data(static_cast<size_t>(i * j), static_cast<char>('a' + i));
        if (!stub.Say(MakeBlob(data), &reply).ok() || reply.data() != data) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(NumberIn(server->DebugString(), "started: "), 16u * 200);
}

TEST_F(UnaryTest, ChannelsOfOneProcessDoNotMixTheirReplies) {
  const auto server = StartServer();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i, stub = ConnectStub()] {
      for (int j = 0; j < 100; ++j) {
        const std::string data = std::to_string(i * 1000 + j);
        const auto reply = stub.Say(MakeBlob(data));
        if (!reply.ok() || reply->data() != data) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

// What the caller did before a call is done when the handler runs, and the other way round. Only ThreadSanitizer can
// find fault with this test.
TEST_F(UnaryTest, ACallOrdersWhatBothSidesDo) {
  int written_by_turns = 0;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    ++written_by_turns;
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  for (int i = 0; i < 1000; ++i) {
    ++written_by_turns;
    EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  }
  EXPECT_EQ(written_by_turns, 2000);
}

TEST_F(UnaryTest, HandlerMayCallItsOwnServer) {
  std::shared_ptr<Channel> inner;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data() == "inner") return EchoBack(context, request, reply);
    auto answer = Echo::Stub(inner).Say(MakeBlob("inner"));
    if (answer.ok()) reply = *answer;
    return answer.status();
  };
  const auto server = StartServer();
  inner = Connect();
  EXPECT_EQ(Must(ConnectStub().Say(MakeBlob("outer"), {.timeout = kLong})).data(), "inner");
  inner.reset();
}

}  // namespace
}  // namespace nearcall::integration
