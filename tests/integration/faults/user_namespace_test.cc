// SPDX-License-Identifier: Apache-2.0

// Peers in a user namespace of their own that maps nobody: there, everybody else is the overflow user (65534), who is
// not trusted unless he is listed.
#include <sched.h>
#include <unistd.h>

#include <string>

#include "child.h"
#include "fixture.h"
#include "meeting_place.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

constexpr uid_t kOverflowUid = 65534;

bool LeaveUserNamespace() {
  return ::unshare(CLONE_NEWUSER) == 0 && ::geteuid() == kOverflowUid;
}

class UserNamespaceTest : public IntegrationTest {
 protected:
  void SetUp() override {
    NEEDS_OTHER_USERS();
    Child probe([](Link& parent) { parent.Tell(LeaveUserNamespace() ? "can" : "cannot"); });
    if (probe.link().Await() != "can") GTEST_SKIP() << "NOT TESTED: this system makes no user namespaces";
    address_ = Address(MakeMeetingPlace(directory()) + "/meeting");
  }

  // What a client in its own namespace gets that connects and calls.
  std::string FromNamespace(const ServerOptions& server_options, const ChannelOptions& channel_options) {
    Child client([&](Link& parent) {
      LeaveUserNamespace();
      parent.Await();
      const auto channel = Channel::Connect(address_, channel_options);
      const absl::Status status = channel.ok() ? Echo::Stub(*channel).Say(MakeBlob("")).status() : channel.status();
      parent.Tell(status.ToString());
    });
    const auto server = StartServer(server_options, address_);
    client.link().Tell();
    std::string answer = client.link().Await();
    EXPECT_EQ(client.Join(), 0);
    return answer;
  }

  std::string address_;
};

TEST_F(UserNamespaceTest, AClientInsideDoesNotTrustAServerWithoutAName) {
  const std::string answer = FromNamespace({}, {});
  EXPECT_THAT(answer, ::testing::StartsWith("PERMISSION_DENIED"));
  EXPECT_THAT(answer, ::testing::HasSubstr("the server runs as uid 65534"));
}

TEST_F(UserNamespaceTest, AClientInsideThatListsTheOverflowUserIsServed) {
  EXPECT_EQ(FromNamespace({}, {.allowed_uids = {kOverflowUid}}), "OK");
}

class ServerInNamespaceTest : public UserNamespaceTest {
 protected:
  // What a client outside gets.
  absl::Status Call(const ServerOptions& options) {
    Child server([&](Link& parent) {
      LeaveUserNamespace();
      const auto started = StartServer(options, address_);
      parent.Tell();
      parent.Await();
    });
    EXPECT_EQ(server.link().Await(), "go");
    const auto channel = Channel::Connect(address_);
    const absl::Status status = channel.ok() ? Echo::Stub(*channel).Say(MakeBlob("")).status() : channel.status();
    server.link().Tell();
    EXPECT_EQ(server.Join(), 0);
    return status;
  }
};

TEST_F(ServerInNamespaceTest, AClientWithoutANameIsNotServed) {
  EXPECT_THAT(Call({}), FailsWith(StatusCode::kPermissionDenied, "does not serve uid 65534"));
}

TEST_F(ServerInNamespaceTest, AClientWithoutANameIsServedIfTheOverflowUserIsListed) {
  EXPECT_TRUE(Call({.allowed_uids = {kOverflowUid}, .blockable_transports_for_other_users = true}).ok());
}

}  // namespace
}  // namespace nearcall::integration
