// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "fake_peer.h"
#include "fake_transport.h"
#include "process.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// --- when all is well ---

TEST(HandshakeTest, BothSidesKnowEachOther) {
  const BothEnds both = ShakeHands();
  ASSERT_TRUE(both.client.ok() && both.server.ok()) << both.client.status() << both.server.status();
  EXPECT_NE(both.client->transport, nullptr);
  EXPECT_NE(both.server->transport, nullptr);
  EXPECT_EQ(both.client->local_id, 2u);
  EXPECT_EQ(both.client->peer_id, 1u);
  EXPECT_EQ(both.server->local_id, 1u);
  EXPECT_EQ(both.server->peer_id, 2u);
  EXPECT_EQ(both.client->peer_terms.max_message_size, 200u);
  EXPECT_EQ(both.client->peer_terms.max_calls_in_flight, 20u);
  EXPECT_EQ(both.server->peer_terms.max_message_size, 100u);
  EXPECT_EQ(both.server->peer_terms.max_calls_in_flight, 10u);
  for (const Connection* end : {&*both.client, &*both.server}) {
    EXPECT_EQ(end->peer.pid, ::getpid());
    EXPECT_EQ(end->peer.uid, ::geteuid());
    EXPECT_EQ(end->peer.gid, ::getegid());
    EXPECT_TRUE(end->peer_pidfd.valid());
    EXPECT_TRUE(end->control.valid());
  }
}

// Whoever made the sockets may have asked the kernel for more than we do: a descriptor of the sender and a label, with
// each message.
TEST(HandshakeTest, WhatElseTheKernelTellsOfTheSenderIsNotWanted) {
  const size_t descriptors = OpenDescriptors();
  {
    auto [ours, theirs] = SocketPair();
    for (const base::Fd* end : {&ours, &theirs}) {
      const int on = 1;
      ::setsockopt(end->get(), SOL_SOCKET, /*SO_PASSPIDFD*/ 76, &on, sizeof(on));
      ASSERT_EQ(::setsockopt(end->get(), SOL_SOCKET, SO_PASSSEC, &on, sizeof(on)), 0);
    }
    const base::Fd same = base::Duplicate(ours.get());
    MaybeConnection server;
    std::thread thread([&, &socket = theirs] { server = Finish(std::move(socket), Server()); });
    MaybeConnection client = Connect(FdAddress(std::move(ours)), Client());
    thread.join();
    ASSERT_TRUE(client.ok() && server.ok()) << client.status() << server.status();
    for (const int fd : {same.get(), server->control.get()}) {
      int labels = 1;
      socklen_t size = sizeof(labels);
      ASSERT_EQ(::getsockopt(fd, SOL_SOCKET, SO_PASSSEC, &labels, &size), 0);
      EXPECT_EQ(labels, 0);
    }
    // Both ends, the duplicate, what FakeTransport keeps, and two pidfds.
    EXPECT_EQ(OpenDescriptors(), descriptors + 6);
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

TEST(HandshakeTest, TakesTheServersBestOfWhatTheClientWants) {
  ServeParams server = Server();
  server.transports = {&kRows[2], &kRows[0]};
  FakeClient any(server);
  EXPECT_EQ(any.Say(Encode(ClientHello{.transports = 0xffffffff})), Progress::kWaiting);
  EXPECT_EQ(any.Answer().transport_bit, kRows[2].bit);
  FakeClient one(server);
  EXPECT_EQ(one.Say(Encode(GoodClientHello())), Progress::kWaiting);
  EXPECT_EQ(one.Answer().transport_bit, kRows[0].bit);
}

TEST(HandshakeTest, PassesUpToFourDescriptorsOrNone) {
  for (const char* transport : {"one", "four", "none"}) {
    const BothEnds both = ShakeHands(Client(), Server(), transport);
    EXPECT_TRUE(both.client.ok() && both.server.ok()) << transport << both.client.status();
  }
}

TEST(HandshakeTest, NothingIsInheritedByPrograms) {
  const BothEnds both = ShakeHands();
  for (const Connection* end : {&*both.client, &*both.server}) {
    EXPECT_EQ(::fcntl(end->control.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(::fcntl(end->peer_pidfd.get(), F_GETFD), FD_CLOEXEC);
  }
}

TEST(HandshakeTest, ByNameAndByPath) {
  const NameDirectory names;
  for (const std::string& address : {std::string("one:echo"), names / "path"}) {
    const auto listener = Listener::Bind(Parse(address)).value();
    MaybeConnection server;
    std::thread thread([&] { server = AcceptOne(*listener); });
    const auto client = Connect(Parse(address), Client());
    thread.join();
    EXPECT_TRUE(client.ok() && server.ok()) << client.status() << server.status();
  }
}

TEST(HandshakeTest, ThePidfdIsThatOfTheProcessThatSpoke) {
  // The child inherits its end: the socket's own credentials (SO_PEERCRED) name this process.
  auto [ours, theirs] = SocketPair();
  Child client([&, fd = theirs.get()] {
    const auto connection = Connect(Parse(absl::StrCat("fd:", fd)), Client());
    return connection.ok() ? ::pause() : 1;
  });
  const auto server = Finish(std::move(ours), Server());
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(server->peer.pid, client.pid());
  EXPECT_FALSE(WaitReadable(server->peer_pidfd.get(), 0));
  client.Kill();
  EXPECT_TRUE(WaitReadable(server->peer_pidfd.get()));
}

TEST(HandshakeTest, AnInheritedDescriptorIsConsumed) {
  auto [ours, theirs] = SocketPair();
  const int number = ours.Release();
  theirs.Reset();
  const Address address = Parse(absl::StrCat("fd:", number));
  EXPECT_TRUE(absl::IsUnavailable(Connect(address, Client()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Connect(address, Client()).status()));
}

TEST(HandshakeTest, AnInheritedDescriptorThatIsNoConnectionIsLeftAlone) {
  const base::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const base::Fd idle(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  for (const base::Fd* fd : {&file, &idle}) {
    const absl::Status error = Connect(Parse(absl::StrCat("fd:", fd->get())), Client()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(error)) << error;
    EXPECT_GE(::fcntl(fd->get(), F_GETFD), 0);
  }
}

// --- nobody there, or nobody answers ---

TEST(HandshakeTest, NobodyListensNamesEachPlace) {
  const TemporaryDirectory runtime;
  const ScopedEnv no_choice("NEARCALL_DIR", nullptr);
  const ScopedEnv env("XDG_RUNTIME_DIR", runtime.path().c_str());
  const absl::Status error = Connect(Parse("one:nobody"), Client()).status();
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
  EXPECT_THAT(error.message(), AllOf(HasSubstr("one:nobody"), HasSubstr(runtime / "nearcall"),
                                     HasSubstr("/run/nearcall"), HasSubstr("/tmp/nearcall-")));
}

TEST(HandshakeTest, AStaleSocketIsUnavailableAtOnce) {
  const NameDirectory names;
  Event bound;
  Child server([&] {
    const auto listener = Listener::Bind(Parse("echo"));
    bound.Set();
    return ::pause();
  });
  bound.Wait();
  server.Kill();
  for (const std::string& address : {std::string("echo"), names / "echo"}) {
    const absl::Status error = Connect(Parse(address), Client()).status();
    EXPECT_TRUE(absl::IsUnavailable(error)) << error;
    EXPECT_THAT(error.message(), HasSubstr("a server that died"));
  }
}

TEST(HandshakeTest, ANameThatThisUserMayNotConnectToIsPermissionDenied) {
  NEARCALL_TEST_NEEDS_ROOT();
  const NameDirectory names;
  ASSERT_EQ(::chmod(names.path().c_str(), 0755), 0);
  const auto listener = Listener::Bind(Parse("echo"));
  Child client([] {
    BecomeUser(kOtherUid);
    return static_cast<int>(Connect(Parse("echo"), Client()).status().code());
  });
  EXPECT_EQ(client.Wait(), static_cast<int>(absl::StatusCode::kPermissionDenied));
}

TEST(HandshakeTest, ADirectoryThatOthersCanWriteEndsTheSearch) {
  const NameDirectory names;
  ASSERT_EQ(::chmod(names.path().c_str(), 0777), 0);
  const absl::Status error = Connect(Parse("echo"), Client()).status();
  EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr(names.path()));
}

TEST(HandshakeTest, ASilentServerEndsWithTheDeadline) {
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo")).value();
  ConnectParams params = Client();
  params.deadline = base::AddNs(base::NowNs(), 20'000'000);
  const absl::Status error = Connect(Parse("echo"), params).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("did not answer"));
}

TEST(HandshakeTest, AFullBacklogEndsWithTheDeadline) {
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo")).value();
  ASSERT_EQ(::listen(listener->fd(), 0), 0);
  ConnectParams params = Client();
  params.deadline = base::AddNs(base::NowNs(), 20'000'000);
  std::thread first([&] { Connect(Parse("echo"), params).IgnoreError(); });
  WaitReadable(listener->fd());
  const absl::Status error = Connect(Parse("echo"), params).status();
  first.join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("backlog"));
}

TEST(HandshakeTest, WaitsForAPlaceInTheBacklog) {
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo")).value();
  ASSERT_EQ(::listen(listener->fd(), 0), 0);
  std::array<MaybeConnection, 3> clients;
  std::vector<std::thread> threads;
  for (MaybeConnection& client : clients) threads.emplace_back([&] { client = Connect(Parse("echo"), Client()); });
  std::vector<MaybeConnection> servers;
  while (servers.size() < clients.size()) servers.push_back(AcceptOne(*listener));
  for (std::thread& thread : threads) thread.join();
  for (const MaybeConnection& client : clients) EXPECT_TRUE(client.ok()) << client.status();
}

TEST(HandshakeTest, AServerThatHangsUpIsUnavailable) {
  const NameDirectory names;
  auto listener = Listener::Bind(Parse("echo")).value();
  std::thread server([&] {
    WaitReadable(listener->fd());
    listener.reset();  // with the connection in its backlog
  });
  const absl::Status error = Connect(Parse("echo"), Client()).status();
  server.join();
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
}

TEST(HandshakeTest, ASilentClientIsWaitedForWithoutBlocking) {
  FakeClient client;
  EXPECT_EQ(client.server().Step(), Progress::kWaiting);
  EXPECT_EQ(client.Say(Encode(GoodClientHello())), Progress::kWaiting);
  EXPECT_EQ(client.server().Step(), Progress::kWaiting);
  EXPECT_TRUE(client.Answer().status.ok());
  EXPECT_EQ(client.Say(EncodeAck(absl::StatusCode::kOk)), Progress::kDone);
  EXPECT_EQ(client.server().Step(), Progress::kDone);
  EXPECT_NE(client.server().Take().transport, nullptr);
}

TEST(HandshakeTest, AClientThatHangsUpFailsTheHandshakeOnly) {
  FakeClient before_hello;
  before_hello.socket().Reset();
  EXPECT_EQ(before_hello.server().Step(), Progress::kFailed);
  EXPECT_TRUE(absl::IsUnavailable(before_hello.server().error()));

  FakeClient before_ack;
  EXPECT_EQ(before_ack.Say(Encode(GoodClientHello())), Progress::kWaiting);
  before_ack.socket().Reset();
  EXPECT_EQ(before_ack.server().Step(), Progress::kFailed);
  EXPECT_TRUE(absl::IsUnavailable(before_ack.server().error())) << before_ack.server().error();
}

}  // namespace
}  // namespace nearcall::transport::testing
