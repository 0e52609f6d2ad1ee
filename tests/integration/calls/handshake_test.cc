// SPDX-License-Identifier: Apache-2.0

// Peers that shake hands badly, or not at all.
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "child.h"
#include "fixture.h"
#include "raw_peer.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using transport::ClientHello;
using transport::ServerHello;

// The major version stands in bytes 4 and 5 of each hello.
std::vector<std::byte> OfVersion(std::vector<std::byte> hello, uint16_t major) {
  std::memcpy(&hello[4], &major, sizeof(major));
  return hello;
}

ClientHello GoodHello() {
  return {.transports = 1u << TransportUnderTest().bit, .terms = {.max_message_size = 1000, .max_calls_in_flight = 1}};
}

bool IsReadable(int socket) {
  pollfd item{.fd = socket, .events = POLLIN, .revents = 0};
  return ::poll(&item, 1, 0) == 1;
}

std::ptrdiff_t CountReadable(const std::vector<base::Fd>& sockets) {
  return std::count_if(sockets.begin(), sockets.end(), [](const base::Fd& socket) { return IsReadable(socket.get()); });
}

class HandshakeTest : public IntegrationTest {
 protected:
  void SetUp() override { NEEDS_SOCKETS(); }
  std::string path() const { return directory() + "/echo"; }

  void ExpectServes(const Server&) { EXPECT_TRUE(ConnectStub().Say(MakeBlob(""), {.timeout = kLong}).ok()); }
};

TEST_F(HandshakeTest, ClientOfAnotherVersionIsTold) {
  const auto server = StartServer();
  const base::Fd socket = ConnectRaw(path());
  Send(socket.get(), OfVersion(Encode(GoodHello()), 2));
  const auto answer = transport::DecodeServerHello(Receive(socket.get()));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->status, FailsWith(StatusCode::kFailedPrecondition, "version 2.0 of the protocol, this side 1.0"));
  EXPECT_TRUE(HangsUp(socket.get()));
  EXPECT_TRUE(Eventually([this] { return log.Has("version 2.0"); }));
  ExpectServes(*server);
}

TEST_F(HandshakeTest, ServerOfAnotherVersionIsNamed) {
  RawDoor door(Address());
  auto connected = std::async(std::launch::async, [] { return Channel::Connect(Address()).status(); });
  const base::Fd client = door.AcceptSocket();
  EXPECT_FALSE(Receive(client.get()).empty());
  Must(transport::SendHello(client, OfVersion(Encode(ServerHello{}), 7)));
  const absl::Status status = connected.get();
  EXPECT_THAT(status, FailsWith(StatusCode::kFailedPrecondition, "version 7.0 of the protocol, this side 1.0"));
  EXPECT_THAT(status, FailsWith(StatusCode::kFailedPrecondition, "update the older one"));
}

TEST_F(HandshakeTest, ClientThatTalksNonsenseIsHungUpOn) {
  const auto server = StartServer();
  for (const size_t size : {1u, 7u, 8u, 63u, 64u, 65u, 511u, 512u, 513u, 4000u}) {
    const base::Fd socket = ConnectRaw(path());
    Send(socket.get(), std::vector<std::byte>(size, std::byte{0x5a}));
    EXPECT_TRUE(HangsUp(socket.get())) << size;
  }
  ExpectServes(*server);
}

TEST_F(HandshakeTest, EachByteOfTheHelloMayBeWrong) {
  const auto server = StartServer({.max_connections_per_uid = 1000});
  std::vector<std::byte> hello = Encode(GoodHello());
  for (std::byte& byte : hello) {
    const std::byte before = std::exchange(byte, ~byte);
    Send(ConnectRaw(path()).get(), hello);
    byte = before;
  }
  ExpectServes(*server);
}

TEST_F(HandshakeTest, ClientThatAcknowledgesNonsenseIsHungUpOn) {
  const auto server = StartServer();
  const base::Fd socket = ConnectRaw(path());
  Send(socket.get(), Encode(GoodHello()));
  EXPECT_FALSE(Receive(socket.get()).empty());
  Send(socket.get(), std::vector<std::byte>(16, std::byte{0x5a}));
  EXPECT_TRUE(HangsUp(socket.get()));
  EXPECT_TRUE(Eventually([this] { return log.Has("acknowledgement does not begin as one"); }));
  ExpectServes(*server);
}

TEST_F(HandshakeTest, TransportThatIsNotOfferedIsNamed) {
  const auto server = StartServer();
  const base::Fd socket = ConnectRaw(path());
  Send(socket.get(), Encode(ClientHello{.transports = 1u << 20}));
  const auto answer = transport::DecodeServerHello(Receive(socket.get()));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->status, FailsWith(StatusCode::kFailedPrecondition, absl::StrCat("it offers: ", TransportName())));
}

TEST_F(HandshakeTest, SilentClientsHoldUpNobodyAndAreHungUpOn) {
  const auto server = StartServer({.handshake_timeout = absl::Milliseconds(500)});
  std::vector<base::Fd> silent;
  for (size_t i = 0; i < base::kMaxHalfOpen + 10; ++i) silent.push_back(ConnectRaw(path()));
  ExpectServes(*server);
  for (const base::Fd& socket : silent) EXPECT_TRUE(HangsUp(socket.get()));
  ExpectServes(*server);
}

TEST_F(HandshakeTest, OldestOfTooManySilentClientsMakesRoom) {
  const auto server = StartServer({.handshake_timeout = kLong});
  const base::Fd oldest = ConnectRaw(path());
  // Those that connect at the same time may change places.
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "handshakes under way: ") == 1; }));
  std::vector<base::Fd> silent;
  for (size_t i = 0; i < base::kMaxHalfOpen; ++i) silent.push_back(ConnectRaw(path()));
  EXPECT_TRUE(Eventually([&] { return IsReadable(oldest.get()); }));
  EXPECT_TRUE(HangsUp(oldest.get()));
  EXPECT_EQ(CountReadable(silent), 0);
  ExpectServes(*server);
}

// A client that waits for a CPU has not said hello yet, either.
TEST_F(HandshakeTest, SilentClientsHaveAMomentToSayHello) {
  const auto server = StartServer({.handshake_timeout = kLong});
  const base::SteadyNs begin = base::NowNs();
  std::vector<base::Fd> silent;
  for (size_t i = 0; i <= base::kMaxHalfOpen; ++i) silent.push_back(ConnectRaw(path()));
  EXPECT_TRUE(HangsUp(silent.front().get()));
  EXPECT_GE(base::NowNs() - begin, base::kHelloGraceNs);
}

TEST_F(HandshakeTest, SilentStrangersTakeNoPlacesOfOthers) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can become another user";
  ASSERT_EQ(::chmod(directory().c_str(), 0711), 0);
  Child strangers([this](Link& parent) {
    BecomeStranger();
    parent.Await();
    std::vector<base::Fd> silent;
    for (size_t i = 0; i < 2 * base::kMaxHalfOpen; ++i) silent.push_back(ConnectRaw(path()));
    EXPECT_TRUE(Eventually([&] { return CountReadable(silent) > 0; }));
    parent.Tell();
    parent.Await();
  });
  const auto server = StartServer({.handshake_timeout = kLong}, Address(path()));
  const base::Fd ours = ConnectRaw(path());
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "handshakes under way: ") == 1; }));
  strangers.link().Tell();
  strangers.link().Await();
  EXPECT_FALSE(IsReadable(ours.get()));
  strangers.link().Tell();
  EXPECT_EQ(strangers.Join(), 0);
}

TEST_F(HandshakeTest, ClientThatHasSaidHelloIsNotPushedOut) {
  const auto server = StartServer({.handshake_timeout = kLong});
  const base::Fd slow = ConnectRaw(path());
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "handshakes under way: ") == 1; }));
  Send(slow.get(), Encode(GoodHello()));
  EXPECT_FALSE(Receive(slow.get()).empty());
  std::vector<base::Fd> silent;
  for (size_t i = 0; i < base::kMaxHalfOpen + 10; ++i) silent.push_back(ConnectRaw(path()));
  EXPECT_TRUE(Eventually([&] { return CountReadable(silent) >= 10; }));
  for (const base::Fd& socket : silent) EXPECT_TRUE(!IsReadable(socket.get()) || HangsUp(socket.get()));
  EXPECT_FALSE(IsReadable(slow.get()));
}

TEST_F(HandshakeTest, ClientThatStopsHalfwayIsHungUpOn) {
  const auto server = StartServer({.max_connections_per_uid = 1, .handshake_timeout = absl::Milliseconds(50)});
  const base::Fd socket = ConnectRaw(path());
  Send(socket.get(), Encode(GoodHello()));
  EXPECT_TRUE(HangsUp(socket.get()));
  // Its place is free again.
  EXPECT_TRUE(Eventually([] { return Channel::Connect(Address()).ok(); }));
}

TEST_F(HandshakeTest, ServerThatSaysNothingEndsInADeadline) {
  RawDoor door(Address());
  EXPECT_THAT(Channel::Connect(Address(), {.handshake_timeout = absl::Milliseconds(30)}).status(),
              FailsWith(StatusCode::kDeadlineExceeded, "did not answer the hello in time"));
}

// It has no place for another one now, or is going away.
TEST_F(HandshakeTest, ServerThatHangsUpIsAskedAgain) {
  RawDoor door(Address());
  auto connected = std::async(std::launch::async, [] { return Channel::Connect(Address()).status(); });
  for (int i = 0; i < 3; ++i) door.AcceptSocket().Reset();
  const RawServer server(door);
  EXPECT_TRUE(connected.get().ok());
}

TEST_F(HandshakeTest, ServerThatAlwaysHangsUpIsUnavailable) {
  RawDoor door(Address());
  std::atomic<bool> stop{false};
  auto connected = std::async(std::launch::async, [&] {
    const ChannelOptions options = {.handshake_timeout = absl::Milliseconds(100)};
    const absl::Status status = Channel::Connect(Address(), options).status();
    stop = true;
    ConnectRaw(directory() + "/echo");
    return status;
  });
  while (!stop) door.AcceptSocket().Reset();
  EXPECT_THAT(connected.get(), FailsWith(StatusCode::kUnavailable, Address()));
}

// The one that comes next may be quicker.
TEST_F(HandshakeTest, ServerThatDoesNotAnswerIsAskedAgainUntilTheConnectTimeout) {
  RawDoor door(Address());
  auto connected = std::async(std::launch::async, [] {
    const ChannelOptions options = {.connect_timeout = kLong, .handshake_timeout = absl::Milliseconds(500)};
    return Channel::Connect(Address(), options).status();
  });
  EXPECT_TRUE(HangsUp(door.AcceptSocket().get()));
  const RawServer server(door);
  EXPECT_TRUE(connected.get().ok());
}

TEST_F(HandshakeTest, ServerThatTalksNonsenseIsNamed) {
  RawDoor door(Address());
  for (const size_t size : {1u, 8u, 352u, 512u}) {
    auto connected = std::async(std::launch::async, [] { return Channel::Connect(Address()).status(); });
    const base::Fd client = door.AcceptSocket();
    Must(transport::SendHello(client, std::vector<std::byte>(size, std::byte{0x5a})));
    EXPECT_THAT(connected.get(), FailsWith(StatusCode::kInternal, "the server's hello")) << size;
  }
}

// What a server says is for people to read, and must not steer their terminals.
TEST_F(HandshakeTest, TextOfARefusalIsPrintable) {
  RawDoor door(Address());
  auto connected = std::async(std::launch::async, [] { return Channel::Connect(Address()).status(); });
  const base::Fd client = door.AcceptSocket();
  Must(transport::SendHello(client, Encode(ServerHello{.status = absl::AbortedError("\x1b[31mred\n\x07")})));
  EXPECT_EQ(connected.get(), absl::AbortedError(Address() + ": ?[31mred??"));
}

}  // namespace
}  // namespace nearcall::integration
