// SPDX-License-Identifier: Apache-2.0

// Addresses and names: what cannot be one, who has one, and who listens.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "child.h"
#include "fixture.h"
#include "transport_under_test.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class AddressTest : public IntegrationTest {
 protected:
  absl::Status ConnectStatus(absl::string_view address, ChannelOptions options = {}) {
    return Channel::Connect(address, std::move(options)).status();
  }
  absl::Status ListenStatus(absl::string_view address) {
    return ServerBuilder().Listen(address).Register(&echo).Start().status();
  }
};

// Each with what the text must say.
const std::pair<std::string, std::string> kMalformed[] = {
    {"tcp:echo", "there is no transport \"tcp\", there are: shm"},
    {"", "the name is empty"},
    {"shm:", "the name is empty"},
    {":echo", "there is no transport \"\""},
    {"shm:" + std::string(65, 'n'), "longer than 64 bytes"},
    {"shm:/" + std::string(200, 'p'), "longer than 107 bytes"},
    {"shm:a/b", "a name has no '/'"},
    {"shm:../echo", "a name has no '/'"},
    {"shm:..", "does not begin with '.'"},
    {"shm:a..b", "does not hold \"..\""},
    {"shm:.hidden", "does not begin with '.'"},
    {"shm:two words", "consists of letters"},
    {"shm:line\nbreak", "consists of letters"},
    {"shm:/tmp/", "the path's last part"},
    {"shm:/tmp/..", "the path's last part"},
    {"fd:", "number of a descriptor"},
    {"fd:x", "number of a descriptor"},
    {"fd:-1", "number of a descriptor"},
    {"fd:99999999999", "number of a descriptor"},
};

TEST_F(AddressTest, MalformedAddressesAreNamedAndExplained) {
  for (const auto& [address, text] : kMalformed) {
    EXPECT_THAT(ConnectStatus(address), FailsWith(StatusCode::kInvalidArgument, text)) << address;
    EXPECT_THAT(ListenStatus(address), FailsWith(StatusCode::kInvalidArgument, text)) << address;
    EXPECT_THAT(ConnectStatus(address), FailsWith(StatusCode::kInvalidArgument, "write transport:name")) << address;
  }
}

TEST_F(AddressTest, LongestNameIsServed) {
  const std::string address = Address(std::string(64, 'n'));
  const auto server = StartServer({}, address);
  EXPECT_TRUE(Echo::Stub(Connect({}, address)).Say(MakeBlob("")).ok());
}

TEST_F(AddressTest, EnvironmentChoosesTheTransportOfABareNameOnly) {
  const auto server = StartServer();
  ::setenv("NEARCALL_TRANSPORT", "carrier-pigeon", 1);
  EXPECT_THAT(ConnectStatus("echo"), FailsWith(StatusCode::kInvalidArgument, "NEARCALL_TRANSPORT=carrier-pigeon"));
  EXPECT_TRUE(ConnectStatus(Address()).ok());
  ::setenv("NEARCALL_TRANSPORT", std::string(TransportName()).c_str(), 1);
  EXPECT_TRUE(ConnectStatus("echo").ok());
  ::unsetenv("NEARCALL_TRANSPORT");
  EXPECT_EQ(ConnectStatus("echo").ok(), IsMeantByABareName());
}

// As `nearcall ls` does, to see which there are.
TEST_F(AddressTest, WhoAsksForWhatIsNotOfferedIsToldWhatIsAndTheServerHasNoNews) {
  if (!TransportUnderTest().MeetsAtSocket()) GTEST_SKIP() << TransportName() << " has no socket";
  const auto server = StartServer({}, absl::StrCat(TransportName(), ":echo"));
  const std::string other = TransportName() == "pipe" ? "shm" : "pipe";
  EXPECT_THAT(ConnectStatus(absl::StrCat(other, ":echo")),
              FailsWith(StatusCode::kFailedPrecondition, absl::StrCat("it offers: ", TransportName())));
  server->Shutdown(absl::ZeroDuration());
  server->Wait();
  EXPECT_FALSE(log.Has("turned away"));
}

TEST_F(AddressTest, WhatIsOnlyAskedForByNameNoBareNameMeans) {
  if (IsMeantByABareName()) GTEST_SKIP() << "bare names mean " << TransportName();
  ::unsetenv("NEARCALL_TRANSPORT");
  const auto bare = StartServer({}, "bare");
  // Without a socket the two do not even meet.
  const bool meets = TransportUnderTest().MeetsAtSocket();
  const StatusCode code = meets ? StatusCode::kFailedPrecondition : StatusCode::kUnavailable;
  EXPECT_THAT(ConnectStatus(Address("bare")),
              FailsWith(code, meets ? "the server does not offer the transport asked for" : "no server listens"));
  const auto server = StartServer();
  EXPECT_EQ(ConnectStatus("echo").code(), code);
  const auto channel = Connect();
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
  EXPECT_EQ(channel->transport(), TransportName());
}

TEST_F(AddressTest, DescriptorThatIsNoSocketIsRefused) {
  EXPECT_THAT(ConnectStatus("fd:999"), FailsWith(StatusCode::kInvalidArgument, "descriptor 999"));
  EXPECT_THAT(ConnectStatus("fd:0"), FailsWith(StatusCode::kInvalidArgument, "pass an end of a socketpair"));
}

TEST_F(AddressTest, NobodyListens) {
  const absl::Time before = absl::Now();
  const absl::Status status = ConnectStatus(Address("nobody"));
  EXPECT_LT(absl::Now() - before, absl::Seconds(2));
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, Address("nobody")));
  EXPECT_THAT(status,
              FailsWith(StatusCode::kUnavailable, absl::StrCat(directory(), (TransportUnderTest().MeetsAtSocket()
                                                                                 ? "/nobody (does not exist)"
                                                                                 : "/nobody.c2s (does not exist)"))));
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, "start it"));
}

TEST_F(AddressTest, EachDirectoryLookedAtIsNamed) {
  const testing::ScopedEnv no_choice("NEARCALL_DIR", nullptr);
  const testing::ScopedEnv runtime("XDG_RUNTIME_DIR", directory().c_str());
  const absl::Status status = ConnectStatus(Address("nobody-has-this-name"));
  for (const std::string& place :
       {directory() + "/nearcall", std::string("/run/nearcall"), absl::StrCat("/tmp/nearcall-", ::geteuid())}) {
    EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, place));
  }
}

TEST_F(AddressTest, NobodyListensAtAPath) {
  EXPECT_THAT(ConnectStatus(Address("/nowhere/echo")), FailsWith(StatusCode::kUnavailable, "/nowhere/echo"));
  EXPECT_THAT(ListenStatus(Address("/nowhere/echo")), FailsWith(StatusCode::kFailedPrecondition, "/nowhere"));
}

TEST_F(AddressTest, ConnectTimeoutWaitsForTheServer) {
  std::unique_ptr<Server> server;
  Event started;
  std::thread starter([&] {
    // The channel cannot be there before the server is: the order of the two does not matter.
    server = StartServer();
    started.Set();
  });
  const absl::Status status = ConnectStatus(Address(), {.connect_timeout = kLong});
  starter.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(AddressTest, ConnectTimeoutEnds) {
  const absl::Time before = absl::Now();
  EXPECT_THAT(ConnectStatus(Address(), {.connect_timeout = absl::Milliseconds(30)}),
              FailsWith(StatusCode::kUnavailable, "no server listens"));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(30));
}

TEST_F(AddressTest, SecondServerOfANameIsRefusedAndTheFirstServesOn) {
  const auto first = StartServer();
  const Echo::Stub stub = ConnectStub();
  EXPECT_THAT(ListenStatus(Address()), FailsWith(StatusCode::kAlreadyExists, directory() + "/echo"));
  EXPECT_THAT(ListenStatus(Address()), FailsWith(StatusCode::kAlreadyExists, "stop it or choose another name"));
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
}

TEST_F(AddressTest, SecondServerOfANameInAnotherProcessIsRefused) {
  Child first([this](Link& parent) {
    const auto server = StartServer();
    parent.Tell();
    parent.Await();
  });
  first.link().Await();
  EXPECT_THAT(ListenStatus(Address()), FailsWith(StatusCode::kAlreadyExists, directory() + "/echo"));
  first.Kill();
  EXPECT_TRUE(ListenStatus(Address()).ok());
}

TEST_F(AddressTest, NothingIsLeftWhenOneOfTwoNamesIsTaken) {
  const auto first = StartServer();
  EXPECT_THAT(ServerBuilder().Listen(Address("other")).Listen(Address()).Register(&echo).Start().status(),
              FailsWith(StatusCode::kAlreadyExists, "echo"));
  EXPECT_THAT(ConnectStatus(Address("other")), FailsWith(StatusCode::kUnavailable, "other"));
}

TEST_F(AddressTest, ANameThatSomebodyRemovesIsBoundAgain) {
  NEEDS_SOCKETS();
  auto server = StartServer();
  const Echo::Stub before = ConnectStub();
  const std::string path = directory() + "/echo";
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(::unlink(path.c_str()), 0);
    EXPECT_TRUE(Eventually([this] { return ConnectStatus(Address()).ok(); }));
  }
  EXPECT_TRUE(before.Say(MakeBlob(""), {.timeout = kLong}).ok());
  EXPECT_TRUE(Eventually([this] { return log.Has("it is bound again"); }));
  EXPECT_TRUE(Eventually([&] {
    const std::string text = server->DebugString();
    return text.find("listening: ") == text.rfind("listening: ");
  })) << "a former socket stays: "
      << server->DebugString();
  server.reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST_F(AddressTest, WhileAnotherServerStartsClientsOfOtherNamesAreServed) {
  NEEDS_SOCKETS();
  const auto server = Must(ServerBuilder({.expected_clients = 48, .log_sink = log.sink()})
                               .Listen(Address("one"))
                               .Listen(Address("other"))
                               .Start());
  // As one that was stopped in the middle of it.
  const base::Fd starting(::open((directory() + "/.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(starting.get(), LOCK_EX), 0);
  ASSERT_EQ(::unlink((directory() + "/one").c_str()), 0);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(ConnectStatus(Address("other")).ok());
  EXPECT_THAT(ConnectStatus(Address("one")), FailsWith(StatusCode::kUnavailable, "one"));
  ASSERT_EQ(::flock(starting.get(), LOCK_UN), 0);
  EXPECT_TRUE(Eventually([this] { return ConnectStatus(Address("one")).ok(); }));
}

TEST_F(AddressTest, DirectoryThatOthersCanWriteToIsRefused) {
  Must(absl::ErrnoToStatus(::chmod(directory().c_str(), 0777) == 0 ? 0 : errno, "chmod"));
  EXPECT_THAT(ListenStatus(Address()), FailsWith(StatusCode::kPermissionDenied, "can be written by"));
  EXPECT_THAT(ConnectStatus(Address()), FailsWith(StatusCode::kPermissionDenied, "chmod go-w"));
}

TEST_F(AddressTest, OptionsOutOfRangeAreNamed) {
  EXPECT_THAT(ConnectStatus(Address(), {.max_message_size = 0}),
              FailsWith(StatusCode::kInvalidArgument, "ChannelOptions::max_message_size is 0"));
  EXPECT_THAT(ConnectStatus(Address(), {.max_calls_in_flight = 1'000'000}),
              FailsWith(StatusCode::kInvalidArgument, "ChannelOptions::max_calls_in_flight is 1000000"));
  EXPECT_THAT(ServerBuilder({.max_handler_threads = 0}).Listen(Address()).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "ServerOptions::max_handler_threads is 0"));
  EXPECT_THAT(ServerBuilder({.handshake_timeout = absl::ZeroDuration()}).Listen(Address()).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "handshake_timeout"));
}

TEST_F(AddressTest, BuilderMistakesAreExplained) {
  EXPECT_THAT(ServerBuilder().Listen(Address()).Register(&echo).Register(&echo).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "nearcall.integration.Echo is registered twice"));
  EXPECT_THAT(ServerBuilder().Listen(Address()).Register(nullptr).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "null"));
  ServerBuilder builder;
  EXPECT_TRUE(builder.Listen(Address()).Register(&echo).Start().ok());
  EXPECT_THAT(builder.Start().status(), FailsWith(StatusCode::kFailedPrecondition, "called before"));
}

}  // namespace
}  // namespace nearcall::integration
