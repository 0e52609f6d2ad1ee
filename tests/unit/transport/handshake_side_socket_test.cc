// SPDX-License-Identifier: Apache-2.0

// Whether a handshake makes a side socket, and whose ends it has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fake_peer.h"
#include "slow_to_close.h"
#include "transport/side_socket.h"

namespace nearcall::transport {
namespace {

using testing::BothEnds;
using testing::Client;
using ::testing::HasSubstr;
using testing::Server;
using testing::ShakeHands;

ConnectParams Wanting() {
  ConnectParams params = Client();
  params.features = kDescriptors;
  params.terms.max_descriptors = 16;
  return params;
}

ServeParams Offering() {
  ServeParams params = Server();
  params.offers_side_socket = true;
  params.terms.max_descriptors = 4;
  return params;
}

bool Passes(SideSocket& from, SideSocket& to) {
  const base::Fd memory(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fd = memory.get();
  Letter letter;
  base::Descriptors came;
  return from.Send({.lane = 0, .count = 1, .lost = false, .sequence = 1, .call_id = 1}, {&fd, 1}) &&
         to.Receive(std::make_shared<base::DescriptorBudget>(nullptr), letter, came).ok() && came.fds().size() == 1;
}

TEST(HandshakeSideSocketTest, BothHaveAnEndIfBothWantIt) {
  for (const char* const row : {"", "four"}) {
    const BothEnds ends = ShakeHands(Wanting(), Offering(), row);
    ASSERT_TRUE(ends.client.ok()) << ends.client.status();
    ASSERT_TRUE(ends.server.ok()) << ends.server.status();
    EXPECT_EQ(ends.client->peer_terms.max_descriptors, 4);
    EXPECT_EQ(ends.server->peer_terms.max_descriptors, 16);
    ASSERT_NE(ends.client->side_socket, nullptr);
    ASSERT_NE(ends.server->side_socket, nullptr);
    EXPECT_TRUE(Passes(*ends.client->side_socket, *ends.server->side_socket));
    EXPECT_TRUE(Passes(*ends.server->side_socket, *ends.client->side_socket));
  }
}

TEST(HandshakeSideSocketTest, ThereIsNoneIfOnlyOneWantsIt) {
  for (const BothEnds& ends : {ShakeHands(Wanting(), Server()), ShakeHands(Client(), Offering())}) {
    ASSERT_TRUE(ends.client.ok()) << ends.client.status();
    ASSERT_TRUE(ends.server.ok()) << ends.server.status();
    EXPECT_EQ(ends.client->side_socket, nullptr);
    EXPECT_EQ(ends.server->side_socket, nullptr);
  }
}

TEST(HandshakeSideSocketTest, ThereIsNoneBesideATransportThatCarriesNoDescriptors) {
  TransportRow row = testing::kRows[0];
  row.traits = kNoDescriptors;
  ServeParams server = Offering();
  server.transports = {&row};
  const BothEnds ends = ShakeHands(Wanting(), server);
  ASSERT_TRUE(ends.client.ok()) << ends.client.status();
  EXPECT_EQ(ends.client->side_socket, nullptr);
}

// Announced by a server, and something else.
TEST(HandshakeSideSocketTest, AServerThatPassesSomethingElse) {
  const base::Fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ServerHello hello = testing::GoodServerHello();
  hello.features = kDescriptors;
  hello.fd_count = 2;
  auto [ours, theirs] = testing::SocketPair();
  const std::array fds = {nothing.get(), nothing.get()};
  ASSERT_TRUE(SendHello(theirs, Encode(hello), fds).ok());
  const auto connection = Connect(testing::FdAddress(std::move(ours)), Wanting());
  EXPECT_EQ(connection.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(connection.status().message(), HasSubstr("no such socket"));
}

TEST(HandshakeSideSocketTest, AServerThatPassesNothing) {
  ServerHello hello = testing::GoodServerHello();
  hello.features = kDescriptors;
  hello.fd_count = 0;
  auto [ours, theirs] = testing::SocketPair();
  ASSERT_TRUE(SendHello(theirs, Encode(hello)).ok());
  const auto connection = Connect(testing::FdAddress(std::move(ours)), Wanting());
  EXPECT_THAT(connection.status().message(), HasSubstr("announced a side socket"));
}

}  // namespace
}  // namespace nearcall::transport
