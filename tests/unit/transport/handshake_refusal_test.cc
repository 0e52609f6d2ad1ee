// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>

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

// --- who may ---

// A server of this user and a client that is `uid`; the client's answer as its exit code.
int ConnectAs(uid_t uid, const ServeParams& params, MaybeConnection& server, const std::vector<uid_t>& allowed) {
  const TemporaryDirectory directory;
  ::chmod(directory.path().c_str(), 0755);
  const auto listener = Listener::Bind(Parse(directory / "public")).value();
  Child client([&] {
    BecomeUser(uid);
    ConnectParams connect = Client();
    connect.allowed_uids = allowed;
    const absl::Status status = Connect(Parse(directory / "public"), connect).status();
    return static_cast<int>(status.code());
  });
  server = AcceptOne(*listener, params);
  return client.Wait();
}

TEST(HandshakeRefusalTest, AClientOfAnotherUserIsRefused) {
  NEARCALL_TEST_NEEDS_ROOT();
  MaybeConnection server;
  EXPECT_EQ(ConnectAs(kOtherUid, Server(), server, {}), static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_TRUE(absl::IsPermissionDenied(server.status()));
  EXPECT_THAT(server.status().message(), HasSubstr("uid 12345"));
}

TEST(HandshakeRefusalTest, AClientThatIsListedIsServed) {
  NEARCALL_TEST_NEEDS_ROOT();
  ServeParams params = Server();
  params.allowed_uids = {kOtherUid};
  MaybeConnection server;
  EXPECT_EQ(ConnectAs(kOtherUid, params, server, {}), 0);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(server->peer.uid, kOtherUid);
}

TEST(HandshakeRefusalTest, TheListIsExact) {
  ServeParams params = Server();
  params.allowed_uids = {::geteuid() + 1};
  const BothEnds both = ShakeHands(Client(), params);
  EXPECT_TRUE(absl::IsPermissionDenied(both.client.status())) << both.client.status();
  EXPECT_THAT(both.client.status().message(), HasSubstr(absl::StrCat("does not serve uid ", ::geteuid())));
}

TEST(HandshakeRefusalTest, TheUserWithoutANumberMustBeListed) {
  NEARCALL_TEST_NEEDS_ROOT();
  MaybeConnection server;
  Child as_nobody([&] {
    BecomeUser(65534);
    return absl::IsPermissionDenied(ShakeHands().client.status()) ? 0 : 1;
  });
  EXPECT_EQ(as_nobody.Wait(), 0);
  ServeParams params = Server();
  params.allowed_uids = {65534};
  EXPECT_EQ(ConnectAs(65534, params, server, {}), 0);
}

// --- a transport over which a client can block the server ---

constexpr const TransportRow* kBlockable = &kRows[6];

// What the server of a user says to a client of another one that is listed, and how the client's Connect() ends.
int ConnectOtherUser(std::vector<const TransportRow*> transports, bool blockable_for_other_users,
                     MaybeConnection& server) {
  ServeParams params = Server();
  params.allowed_uids = {kOtherUid};
  params.transports = std::move(transports);
  params.blockable_for_other_users = blockable_for_other_users;
  return ConnectAs(kOtherUid, params, server, {});
}

TEST(HandshakeRefusalTest, ABlockableTransportIsForTheServersOwnUser) {
  NEARCALL_TEST_NEEDS_ROOT();
  MaybeConnection server;
  EXPECT_EQ(ConnectOtherUser({kBlockable}, false, server), static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(server.status().message(),
              AllOf(HasSubstr("offers blockable to its own user and root only, and not to uid 12345"),
                    HasSubstr("ServerOptions::blockable_transports_for_other_users")));
}

TEST(HandshakeRefusalTest, WhoMeansAnyTransportGetsTheBestThatIsNotBlockable) {
  NEARCALL_TEST_NEEDS_ROOT();
  MaybeConnection server;
  EXPECT_EQ(ConnectOtherUser({kBlockable, &kRows[0]}, false, server), 0);
  EXPECT_TRUE(server.ok()) << server.status();
}

TEST(HandshakeRefusalTest, ABlockableTransportIsForOtherUsersIfTheServerSaysSo) {
  NEARCALL_TEST_NEEDS_ROOT();
  MaybeConnection server;
  EXPECT_EQ(ConnectOtherUser({kBlockable}, true, server), 0);
  EXPECT_TRUE(server.ok()) << server.status();
}

TEST(HandshakeRefusalTest, TheServersOwnUserGetsABlockableTransport) {
  ServeParams params = Server();
  params.transports = {kBlockable, &kRows[0]};
  FakeClient client(params);
  EXPECT_EQ(client.Say(Encode(ClientHello{.transports = 0xffffffff})), Progress::kWaiting);
  EXPECT_EQ(client.Answer().transport_bit, kBlockable->bit);
}

// --- who is not named ---

// Who is not named is nobody, and not uid 0.
TEST(HandshakeRefusalTest, AClientThatTheKernelDoesNotNameIsRefused) {
  FakeClient client;
  const int off = 0;
  ASSERT_EQ(::setsockopt(client.server().fd(), SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
  EXPECT_EQ(client.Say(Encode(GoodClientHello())), Progress::kFailed);
  EXPECT_TRUE(absl::IsPermissionDenied(client.server().error())) << client.server().error();
}

TEST(HandshakeRefusalTest, AServerThatTheKernelDoesNotNameIsRefused) {
  auto [ours, theirs] = SocketPair();
  const base::Fd same = base::Duplicate(ours.get());
  std::thread server([&, &socket = theirs] {
    WaitReadable(socket.get());  // the client has made ready to be told who sends
    const int off = 0;
    EXPECT_EQ(::setsockopt(same.get(), SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
    const base::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int fd = file.get();
    EXPECT_TRUE(SendHello(socket, Encode(GoodServerHello()), {&fd, 1}).ok());
  });
  const absl::Status error = Connect(FdAddress(std::move(ours)), Client()).status();
  server.join();
  EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
}

TEST(HandshakeRefusalTest, AServerOfAnotherUserIsRefusedBeforeItIsBelieved) {
  NEARCALL_TEST_NEEDS_ROOT();
  auto [ours, theirs] = SocketPair();
  Event sent;
  Child server([&, &socket = theirs] {
    BecomeUser(kOtherUid);
    // Would be FAILED_PRECONDITION, if it were asked.
    SendHello(socket, Encode(ServerHello{.status = absl::FailedPreconditionError("other version")})).IgnoreError();
    sent.Set();
    return ::pause();
  });
  sent.Wait();
  const absl::Status error = Connect(FdAddress(std::move(ours)), Client()).status();
  EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("uid 12345"));
}

TEST(HandshakeRefusalTest, AServerOfAListedUserIsBelieved) {
  NEARCALL_TEST_NEEDS_ROOT();
  auto [ours, theirs] = SocketPair();
  Child server([fd = theirs.get()] {
    BecomeUser(kOtherUid);
    ServeParams params = Server();
    params.allowed_uids = {0};
    return Finish(base::Fd(::dup(fd)), params).ok() ? ::pause() : 1;
  });
  ConnectParams params = Client();
  params.allowed_uids = {kOtherUid};
  const auto client = Connect(FdAddress(std::move(ours)), params);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(client->peer.uid, kOtherUid);
  EXPECT_EQ(client->peer.pid, server.pid());
}

TEST(HandshakeRefusalTest, AdmissionIsAskedBeforeAnythingIsMade) {
  ServeParams params = Offering(0);
  PeerIdentity asked{};
  size_t descriptors_when_asked = 0;
  params.admit = [&](const PeerIdentity& peer) {
    asked = peer;
    descriptors_when_asked = OpenDescriptors();
    return absl::ResourceExhaustedError("1024 connections of uid 7");
  };
  const size_t descriptors = OpenDescriptors();
  FakeClient client(params);
  EXPECT_EQ(client.Say(Encode(GoodClientHello())), Progress::kFailed);
  EXPECT_EQ(client.Answer().status, absl::ResourceExhaustedError("1024 connections of uid 7"));
  EXPECT_EQ(asked.pid, ::getpid());
  EXPECT_EQ(descriptors_when_asked, descriptors + 2);
  EXPECT_EQ(OpenDescriptors(), descriptors + 2);
}

TEST(HandshakeRefusalTest, WhoIsToTryAgainIsHungUpOnWithoutAnAnswer) {
  ServeParams params = Offering(0);
  params.admit = [](const PeerIdentity&) { return absl::CancelledError("the server is shutting down"); };
  FakeClient client(params);
  EXPECT_EQ(client.Say(Encode(GoodClientHello())), Progress::kFailed);
  char byte;
  EXPECT_EQ(::recv(client.socket().get(), &byte, sizeof(byte), MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

// --- refusals ---

TEST(HandshakeRefusalTest, ATransportThatIsNotOfferedIsRefusedWithThoseThatAre) {
  ServeParams params = Server();
  params.transports = {&kRows[1], &kRows[2]};
  const BothEnds both = ShakeHands(Client(), params, "one");
  EXPECT_TRUE(absl::IsFailedPrecondition(both.client.status()));
  EXPECT_THAT(both.client.status().message(), HasSubstr("four, none"));
}

TEST(HandshakeRefusalTest, WhyTheServerCouldNotMakeTheTransportReachesTheClient) {
  const BothEnds both = ShakeHands(Client(), Offering(3));
  EXPECT_TRUE(absl::IsResourceExhausted(both.client.status()));
  EXPECT_THAT(both.client.status().message(), HasSubstr("RLIMIT_FAKE is 7"));
  EXPECT_TRUE(absl::IsResourceExhausted(both.server.status()));
}

constexpr TransportRow kNotHere = {
    .name = "nothere",
    .bit = 11,
    .offer = [](const TransportConfig&, const PeerIdentity&) -> absl::StatusOr<std::unique_ptr<TransportOffer>> {
      return absl::InternalError("memfd_create: Function not implemented");
    },
    .attach = &AttachFake<1>};

TEST(HandshakeRefusalTest, WhatThisMachineLacksIsPassedOverIfTheClientWantsAnother) {
  ServeParams params = Server();
  params.transports = {&kNotHere, &kRows[0]};
  FakeClient any(params);
  EXPECT_EQ(any.Say(Encode(ClientHello{.transports = 0xffffffff})), Progress::kWaiting);
  EXPECT_EQ(any.Answer().transport_bit, kRows[0].bit);
}

TEST(HandshakeRefusalTest, WhatThisMachineLacksIsToldToWhoWantsNothingElse) {
  ServeParams params = Server();
  params.transports = {&kNotHere, &kRows[0]};
  FakeClient one(params);
  EXPECT_EQ(one.Say(Encode(ClientHello{.transports = 1u << kNotHere.bit})), Progress::kFailed);
  EXPECT_THAT(one.Answer().status.message(), HasSubstr("Function not implemented"));
}

TEST(HandshakeRefusalTest, ALimitIsToldToTheClientWhateverElseItWants) {
  ServeParams params = Server();
  params.transports = {&kRows[3], &kRows[0]};
  FakeClient any(params);
  EXPECT_EQ(any.Say(Encode(ClientHello{.transports = 0xffffffff})), Progress::kFailed);
  EXPECT_TRUE(absl::IsResourceExhausted(any.Answer().status));
}

TEST(HandshakeRefusalTest, WhyTheClientCouldNotAttachReachesTheServer) {
  const BothEnds both = ShakeHands(Client(), Offering(4));
  EXPECT_TRUE(absl::IsResourceExhausted(both.client.status()));
  EXPECT_THAT(both.client.status().message(), HasSubstr("no room to map"));
  EXPECT_TRUE(absl::IsResourceExhausted(both.server.status()));
}

TEST(HandshakeRefusalTest, AnOfferThatCannotBeMadeFinalFailsTheHandshake) {
  const BothEnds both = ShakeHands(Client(), Offering(5));
  EXPECT_TRUE(absl::IsInternal(both.server.status()));
  ASSERT_TRUE(both.client.ok());  // and sees the server hang up
  EXPECT_TRUE(WaitReadable(both.client->control.get(), 0));
}

TEST(HandshakeRefusalTest, AnotherVersionOfTheClientIsToldOurs) {
  std::vector<std::byte> hello = Encode(GoodClientHello());
  hello[4] = std::byte{9};
  FakeClient client;
  EXPECT_EQ(client.Say(hello), Progress::kFailed);
  EXPECT_TRUE(absl::IsFailedPrecondition(client.server().error()));
  const ServerHello answer = client.Answer();
  EXPECT_TRUE(absl::IsFailedPrecondition(answer.status));
  EXPECT_THAT(answer.status.message(), AllOf(HasSubstr("version 9.0"), HasSubstr("1.0")));
}

TEST(HandshakeRefusalTest, AnotherVersionOfTheServerIsNamedWithOurs) {
  std::vector<std::byte> hello = Encode(GoodServerHello());
  hello[4] = std::byte{9};
  const absl::Status error = ConnectToFakeServer(hello).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(error)) << error;
  EXPECT_THAT(error.message(), AllOf(HasSubstr("version 9.0"), HasSubstr("this side 1.0")));
}

}  // namespace
}  // namespace nearcall::transport::testing
