// SPDX-License-Identifier: Apache-2.0

// What a channel's connection is doing, and waiting until it does something else.
#include <sys/socket.h>

#include <future>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ChannelStateTest : public IntegrationTest {
 protected:
  static absl::Time Late() { return absl::Now() + kLong; }
  static absl::Status Call(const std::shared_ptr<Channel>& channel, CallOptions options = {}) {
    return Echo::Stub(channel).Say(MakeBlob("hi"), options).status();
  }
};

TEST_F(ChannelStateTest, ReadyOnceConnected) {
  const auto server = StartServer();
  EXPECT_EQ(Connect()->state(), ChannelState::kReady);
}

TEST_F(ChannelStateTest, ALazyChannelConnectsWithItsFirstCall) {
  const auto channel = Connect({.lazy = true});
  EXPECT_EQ(channel->state(), ChannelState::kIdle);
  const auto server = StartServer();
  EXPECT_EQ(ConnectionCount(*server), 0u);
  EXPECT_TRUE(Call(channel).ok());
  EXPECT_EQ(channel->state(), ChannelState::kReady);
}

TEST_F(ChannelStateTest, ALazyChannelTakesNoWrongAddress) {
  EXPECT_THAT(Channel::Connect("shm:no/such", {.lazy = true}).status(), FailsWith(StatusCode::kInvalidArgument, ""));
}

TEST_F(ChannelStateTest, ALazyChannelThatMakesNoCallClosesItsSocket) {
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
  const base::Fd other(sockets[0]);
  ASSERT_TRUE(Channel::Connect(absl::StrCat("fd:", sockets[1]), {.lazy = true}).ok());
  char byte;
  EXPECT_EQ(::recv(other.get(), &byte, 1, MSG_DONTWAIT), 0) << "its other end is open";
}

TEST_F(ChannelStateTest, ALazyChannelsCallFailsWhereNobodyListens) {
  const auto channel = Connect({.lazy = true});
  EXPECT_THAT(Call(channel), FailsWith(StatusCode::kUnavailable, "no server listens"));
  EXPECT_EQ(channel->state(), ChannelState::kTransientFailure);
  const auto server = StartServer();
  EXPECT_TRUE(Call(channel).ok());
  EXPECT_EQ(channel->state(), ChannelState::kReady);
}

TEST_F(ChannelStateTest, IdleWhenTheServerHasGone) {
  auto server = StartServer();
  const auto channel = Connect();
  auto changed =
      std::async(std::launch::async, [&] { return channel->WaitForStateChange(ChannelState::kReady, Late()); });
  server.reset();
  EXPECT_TRUE(changed.get());
  EXPECT_EQ(channel->state(), ChannelState::kIdle);
}

TEST_F(ChannelStateTest, AWaitEndsAtItsDeadline) {
  const auto server = StartServer();
  const auto channel = Connect();
  EXPECT_FALSE(channel->WaitForStateChange(ChannelState::kReady, absl::Now() + absl::Milliseconds(1)));
  EXPECT_FALSE(channel->WaitForStateChange(ChannelState::kReady, absl::InfinitePast()));
  EXPECT_TRUE(channel->WaitForStateChange(ChannelState::kIdle, absl::InfinitePast()));
}

TEST_F(ChannelStateTest, ConnectingWhileACallWaitsForAnAnswer) {
  const auto channel = Connect({.lazy = true});
  auto ready = std::async(std::launch::async, [&] {
    for (ChannelState state = channel->state(); state != ChannelState::kReady; state = channel->state()) {
      if (!channel->WaitForStateChange(state, Late())) return false;
    }
    return true;
  });
  auto call = std::async(std::launch::async, [&] { return Call(channel, {.timeout = kLong, .wait_for_ready = true}); });
  EXPECT_TRUE(channel->WaitForStateChange(ChannelState::kIdle, Late()));
  const auto server = StartServer();
  EXPECT_TRUE(call.get().ok());
  EXPECT_TRUE(ready.get());
}

}  // namespace
}  // namespace nearcall::integration
