// SPDX-License-Identifier: Apache-2.0

// fork(): what a child may do with what it inherits.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ForkTest : public IntegrationTest {
 protected:
  void SetUp() override {
    if (!testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  }
  void Join(Child& child) { EXPECT_EQ(child.Join(), 0); }
};

TEST_F(ForkTest, InheritedChannelIsRefusedAndTheParentsWorksOn) {
  const auto server = StartServer();
  auto channel = Connect();
  const Echo::Stub stub(channel);
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  Child child([&](Link&) {
    const absl::Status status = stub.Say(MakeBlob("")).status();
    EXPECT_THAT(status, FailsWith(StatusCode::kFailedPrecondition, Address() + " was made before fork()"));
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
  });
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  Join(child);
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
}

TEST_F(ForkTest, ChildConnectsAChannelOfItsOwn) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  Child child([&](Link&) {
    const Echo::Stub own = ConnectStub();
    EXPECT_EQ(Must(own.Say(MakeBlob("child"), {.timeout = kLong})).data(), "child");
    EXPECT_EQ(stub.Say(MakeBlob("")).status().code(), StatusCode::kFailedPrecondition);
  });
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(stub.Say(MakeBlob("parent")).ok());
  Join(child);
}

TEST_F(ForkTest, ChildStartsAServerOfItsOwn) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  Child child([&](Link& parent) {
    const auto own = StartServer({}, Address("childs"));
    parent.Tell();
    parent.Await();
  });
  child.link().Await();
  EXPECT_TRUE(Echo::Stub(Connect({}, Address("childs"))).Say(MakeBlob("")).ok());
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  child.link().Tell();
  Join(child);
}

TEST_F(ForkTest, ChildDestroysWhatItInheritsAndTheParentNoticesNothing) {
  auto server = StartServer();
  auto channel = Connect();
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
  Child child([&](Link&) {
    channel.reset();
    server.reset();
  });
  Join(child);
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
}

// No ForkTest: what is forked of a process with threads does nothing, and every sanitizer survives that.
TEST_F(IntegrationTest, ChildThatLivesOnDoesNotHideTheDeathOfItsParent) {
  NEEDS_SOCKETS();
  Child server([this](Link& parent) {
    echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
      if (request.data() == "block") {
        parent.Tell("running");
        parent.Await();
      }
      return EchoBack(context, request, reply);
    };
    const auto running = StartServer();
    parent.Await();
    // Inherits each socket of the server, and does nothing.
    const pid_t idle = ::fork();
    if (idle == 0) {
      ::pause();
      ::_exit(0);
    }
    parent.Tell(std::to_string(idle));
    running->Wait();
  });
  const auto connect = [] { return Channel::Connect(Address(), {.connect_timeout = kLong}); };
  const Echo::Stub stub(Must(connect()));
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  server.link().Tell();
  const pid_t idle = std::stoi(server.link().Await());
  Pending call = SayAsync(stub, "block", {.timeout = kLong});
  EXPECT_EQ(server.link().Await(), "running");
  server.Kill();
  EXPECT_EQ(call.get().status().code(), StatusCode::kUnavailable);
  ::kill(idle, SIGKILL);
}

// --- inherited sockets ---

class InheritedTest : public IntegrationTest {
 protected:
  static std::array<int, 2> MakePair(int type = SOCK_SEQPACKET) {
    std::array<int, 2> fds;
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0) throw std::runtime_error("socketpair");
    return fds;
  }
  static std::string FdAddress(int fd) { return absl::StrCat("fd:", fd); }
};

TEST_F(InheritedTest, SocketPairBetweenTwoProcesses) {
  const auto [mine, childs] = MakePair();
  Child child([mine = mine, childs = childs](Link&) {
    ::close(mine);
    const auto channel = Must(Channel::Connect(FdAddress(childs)));
    EXPECT_EQ(Must(Echo::Stub(channel).Say(MakeBlob("through the pair"))).data(), "through the pair");
  });
  ::close(childs);
  const auto server = Must(ServerBuilder().Register(&echo).Start());
  EXPECT_TRUE(server->ServeFd(mine).ok());
  EXPECT_EQ(child.Join(), 0);
}

TEST_F(InheritedTest, SocketPairInOneProcess) {
  const auto [servers, clients] = MakePair();
  const auto server = StartServer();
  EXPECT_TRUE(server->ServeFd(servers).ok());
  EXPECT_TRUE(Echo::Stub(Connect({}, FdAddress(clients))).Say(MakeBlob("")).ok());
}

TEST_F(InheritedTest, WhatIsNoSuchSocketIsRefused) {
  const auto server = StartServer();
  const auto [one, other] = MakePair(SOCK_STREAM);
  EXPECT_THAT(Channel::Connect(FdAddress(one)).status(), FailsWith(StatusCode::kInvalidArgument, "SOCK_SEQPACKET"));
  EXPECT_THAT(server->ServeFd(one), FailsWith(StatusCode::kInvalidArgument, "SOCK_SEQPACKET"));
  EXPECT_THAT(ServerBuilder().ListenFd(other).Register(&echo).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "SOCK_SEQPACKET"));
  EXPECT_THAT(server->ServeFd(-1), FailsWith(StatusCode::kInvalidArgument, "ServeFd"));
}

TEST_F(InheritedTest, NothingIsServedAfterShutdown) {
  const auto server = StartServer();
  server->Shutdown();
  const auto [servers, clients] = MakePair();
  EXPECT_EQ(server->ServeFd(servers).code(), StatusCode::kUnavailable);
  EXPECT_EQ(Channel::Connect(FdAddress(clients)).status().code(), StatusCode::kUnavailable);
}

TEST_F(InheritedTest, ChannelCannotConnectAgainAndLeavesTheNumberAlone) {
  const auto [servers, clients] = MakePair();
  const auto [near, far] = MakePair();
  auto server = StartServer();
  EXPECT_TRUE(server->ServeFd(servers).ok());
  const Echo::Stub stub(Connect({}, FdAddress(clients)));
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  server.reset();
  // Another socket gets the number.
  ASSERT_EQ(::dup2(near, clients), clients);
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = stub.Say(MakeBlob(""), {.timeout = kLong}).status();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  }
  EXPECT_EQ(::write(clients, "x", 1), 1);
  for (const int fd : {near, far, clients}) ::close(fd);
}

TEST_F(InheritedTest, ListeningSocketOfSomebodyElse) {
  NEEDS_SOCKETS();
  for (const bool by_address : {false, true}) {
    const std::string path = absl::StrCat(directory(), "/activated", by_address ? 1 : 2);
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(fd, 5), 0);
    ServerBuilder builder;
    by_address ? builder.Listen(FdAddress(fd)) : builder.ListenFd(fd);
    auto server = Must(builder.Register(&echo).Start());
    EXPECT_TRUE(Echo::Stub(Connect({}, Address(path))).Say(MakeBlob("")).ok());
    server.reset();
    EXPECT_EQ(::access(path.c_str(), F_OK), 0) << "the name is not the server's";
  }
}

}  // namespace
}  // namespace nearcall::integration
