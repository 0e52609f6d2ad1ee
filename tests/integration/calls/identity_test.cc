// SPDX-License-Identifier: Apache-2.0

// Who may talk with whom.
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "fixture.h"
#include "meeting_place.h"
#include "transport_under_test.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class IdentityTest : public IntegrationTest {
 protected:
  void SetUp() override {
    NEEDS_OTHER_USERS();
    if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become another user";
    // Where different users meet.
    address_ = Address(MakeMeetingPlace(directory()) + "/meeting");
  }

  // What a stranger gets who connects, and calls, once it is told to. Before any thread.
  std::unique_ptr<Child> StrangersClient() {
    return std::make_unique<Child>([this](Link& parent) {
      BecomeStranger();
      parent.Await();
      const auto channel = Channel::Connect(address_);
      const absl::Status status = channel.ok() ? Echo::Stub(*channel).Say(MakeBlob("")).status() : channel.status();
      parent.Tell(status.ToString());
    });
  }

  std::unique_ptr<Child> StrangersServer(ServerOptions options = {}) {
    auto child = std::make_unique<Child>([this, options](Link& parent) {
      BecomeStranger();
      // Where it may put what its names need.
      const testing::ScopedEnv own("NEARCALL_DIR", (directory() + "/place/own").c_str());
      const auto server = StartServer(options, address_);
      parent.Tell();
      parent.Await();
    });
    child->link().Await();
    return child;
  }

  std::string address_;
};

TEST_F(IdentityTest, StrangerIsNotServed) {
  const auto client = StrangersClient();
  const auto server = StartServer({}, address_);
  client->link().Tell();
  const std::string answer = client->link().Await();
  EXPECT_THAT(answer, ::testing::StartsWith("PERMISSION_DENIED"));
  EXPECT_THAT(answer, ::testing::HasSubstr("does not serve uid 12345 of gid 12345"));
  EXPECT_THAT(answer, ::testing::HasSubstr("add it to ServerOptions::allowed_uids"));
  EXPECT_TRUE(Eventually([this] { return log.Has("does not serve uid 12345"); }));
  EXPECT_TRUE(Echo::Stub(Connect({}, address_)).Say(MakeBlob("")).ok());
}

TEST_F(IdentityTest, StrangerThatIsListedIsServedAndNamed) {
  PeerIdentity peer{};
  echo.say = [&peer](ServerContext& context, const Blob&, Blob&) {
    peer = context.peer();
    return absl::OkStatus();
  };
  const auto client = StrangersClient();
  auto server = StartServer({.allowed_uids = {kStranger}, .blockable_transports_for_other_users = true}, address_);
  client->link().Tell();
  EXPECT_EQ(client->link().Await(), "OK");
  server.reset();
  EXPECT_EQ(peer.pid, client->pid());
  EXPECT_EQ(peer.uid, kStranger);
  EXPECT_EQ(peer.gid, kStranger);
}

// Over a pipe a client can block the server's threads.
TEST_F(IdentityTest, StrangerIsOfferedNoTransportThatBlocksUs) {
  const auto client = StrangersClient();
  const auto server = StartServer({.allowed_uids = {kStranger}}, address_);
  client->link().Tell();
  const std::string answer = client->link().Await();
  // Not what the table says, which is under test too.
  if (TransportName() != "pipe" && TransportName() != "sysv") {
    EXPECT_EQ(answer, "OK");
    return;
  }
  EXPECT_THAT(answer, ::testing::StartsWith("PERMISSION_DENIED"));
  EXPECT_THAT(answer, ::testing::HasSubstr("to its own user and root only, and not to uid 12345"));
  EXPECT_THAT(answer, ::testing::HasSubstr("ServerOptions::blockable_transports_for_other_users"));
}

TEST_F(IdentityTest, ListReplacesTheDefault) {
  const auto server =
      StartServer({.allowed_uids = {kStranger}, .blockable_transports_for_other_users = true}, address_);
  EXPECT_THAT(Channel::Connect(address_).status(), FailsWith(StatusCode::kPermissionDenied, "does not serve uid 0"));
}

TEST_F(IdentityTest, StrangersServerIsNotTrusted) {
  const auto server = StrangersServer();
  const absl::Status status = Channel::Connect(address_).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kPermissionDenied, "the server runs as uid 12345, trusted are 0"));
  EXPECT_THAT(status, FailsWith(StatusCode::kPermissionDenied, "ChannelOptions::allowed_uids"));
  // It takes back what it has offered.
  server->link().Tell();
  EXPECT_EQ(server->Join(), 0);
}

TEST_F(IdentityTest, StrangersServerIsTrustedIfListed) {
  const auto server = StrangersServer();
  EXPECT_TRUE(Echo::Stub(Connect({.allowed_uids = {kStranger}}, address_)).Say(MakeBlob("")).ok());
}

TEST_F(IdentityTest, OwnDirectoryIsNoPlaceForStrangers) {
  ASSERT_EQ(::chmod(directory().c_str(), 0755), 0);
  Child client([](Link& parent) {
    BecomeStranger();
    parent.Await();
    parent.Tell(Channel::Connect(Address()).status().ToString());
  });
  const auto server = StartServer();
  client.link().Tell();
  const std::string answer = client.link().Await();
  EXPECT_THAT(answer, ::testing::StartsWith("PERMISSION_DENIED"));
  EXPECT_THAT(answer, ::testing::HasSubstr(directory() + "/echo"));
}

// --- how many ---

class ConnectionLimitTest : public IntegrationTest {};

TEST_F(ConnectionLimitTest, OneTooManyIsToldTheLimitAndTheOthersAreServed) {
  const auto server = StartServer({.max_connections_per_uid = 2});
  const Echo::Stub first = ConnectStub();
  auto second = Connect();
  const absl::Status status = Channel::Connect(Address()).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, "ServerOptions::max_connections_per_uid"));
  EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, absl::StrCat("user ", ::geteuid(), " has 2 ")));
  EXPECT_TRUE(first.Say(MakeBlob("")).ok());
  EXPECT_TRUE(Echo::Stub(second).Say(MakeBlob("")).ok());
  second.reset();
  EXPECT_TRUE(Eventually([] { return Channel::Connect(Address()).ok(); }));
}

TEST_F(ConnectionLimitTest, ClientsComeAndGo) {
  const auto server = StartServer({.max_connections_per_uid = 1});
  for (int i = 0; i < 20; ++i) {
    std::shared_ptr<Channel> channel;
    ASSERT_TRUE(Eventually([&] {
      auto connected = Channel::Connect(Address());
      if (connected.ok()) channel = *std::move(connected);
      return channel != nullptr;
    })) << server->DebugString();
    EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
  }
}

}  // namespace
}  // namespace nearcall::integration
