// SPDX-License-Identifier: Apache-2.0

// Descriptors whose last close blocks, passed where none may be, or others: whoever reads the message, or closes the
// socket in which it waits, is not held up.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/un.h>

#include <memory>
#include <utility>

#include "fake_peer.h"
#include "fake_transport.h"
#include "process.h"
#include "slow_to_close.h"
#include "transport/control.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/hello.h"

namespace nearcall::transport::testing {
namespace {

class SlowDescriptorsTest : public ::testing::Test {
 protected:
  // Freed, they are closed at last.
  void TearDown() override {
    slow_.Release();
    EXPECT_TRUE(SoonOpenDescriptors(descriptors_));
  }

  // The client's end, as if it had asked already who sends, and the server's.
  static std::pair<base::Fd, base::Fd> IdentifyingPair() {
    std::pair<base::Fd, base::Fd> pair = SocketPair();
    const int on = 1;
    EXPECT_EQ(::setsockopt(pair.first.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    return pair;
  }

  const size_t descriptors_ = OpenDescriptors();
  SlowToClose slow_;
};

TEST_F(SlowDescriptorsTest, WithAHello) {
  auto client = std::make_unique<FakeClient>();
  slow_.Pass(client->socket(), client->server().fd(), Encode(GoodClientHello()));
  EXPECT_FALSE(slow_.HoldsUp([&] {
    EXPECT_EQ(client->server().Step(), Progress::kFailed);
    EXPECT_TRUE(absl::IsInternal(client->server().error())) << client->server().error();
    client.reset();
  }));
}

TEST_F(SlowDescriptorsTest, WithAnAcknowledgement) {
  auto client = std::make_unique<FakeClient>();
  EXPECT_EQ(client->Say(Encode(GoodClientHello())), Progress::kWaiting);
  EXPECT_TRUE(client->Answer().status.ok());
  slow_.Pass(client->socket(), client->server().fd(), EncodeAck(absl::StatusCode::kOk));
  EXPECT_FALSE(slow_.HoldsUp([&] {
    EXPECT_EQ(client->server().Step(), Progress::kFailed);
    client.reset();
  }));
}

TEST_F(SlowDescriptorsTest, WithAMessageThatNobodyReadsAnyMore) {
  auto client = std::make_unique<FakeClient>();
  ASSERT_TRUE(SendHello(client->socket(), Encode(ClientHello{.transports = 0})).ok());
  slow_.Pass(client->socket(), client->server().fd(), {});
  EXPECT_FALSE(slow_.HoldsUp([&] {
    EXPECT_EQ(client->server().Step(), Progress::kFailed);
    client.reset();
  }));
}

TEST_F(SlowDescriptorsTest, FromOneWhomNobodyAccepts) {
  const TemporaryDirectory directory;
  const Address address = Parse(directory / "socket");
  auto listener = Listener::Bind(address).value();
  base::Fd client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un place{};
  place.sun_family = AF_UNIX;
  address.name.copy(place.sun_path, sizeof(place.sun_path) - 1);
  const int on = 1;
  ::setsockopt(listener->fd(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &on, sizeof(on));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&place), sizeof(place)), 0);
  slow_.Pass(client, listener->fd(), Encode(GoodClientHello()));
  EXPECT_FALSE(slow_.HoldsUp([&] { listener.reset(); }));
}

TEST_F(SlowDescriptorsTest, FromAServerThatPassesWhatIsNoTransport) {
  auto [ours, theirs] = IdentifyingPair();
  ServerHello hello = GoodServerHello();
  hello.geometry = {};
  slow_.Pass(theirs, ours.get(), Encode(hello));
  EXPECT_FALSE(slow_.HoldsUp([&, &socket = ours] {
    EXPECT_TRUE(absl::IsInternal(Connect(FdAddress(std::move(socket)), Client()).status()));
  }));
}

TEST_F(SlowDescriptorsTest, FromAServerThatPassesMoreThanAnyTransportHas) {
  auto [ours, theirs] = IdentifyingPair();
  slow_.Pass(theirs, ours.get(), Encode(GoodServerHello()), /*copies=*/100);
  EXPECT_FALSE(slow_.HoldsUp([&, &socket = ours] {
    EXPECT_TRUE(absl::IsInternal(Connect(FdAddress(std::move(socket)), Client()).status()));
  }));
}

TEST_F(SlowDescriptorsTest, FromAServerThatRefuses) {
  auto [ours, theirs] = IdentifyingPair();
  slow_.Pass(theirs, ours.get(), Encode(ServerHello{.status = absl::UnavailableError("no")}));
  EXPECT_FALSE(slow_.HoldsUp([&, &socket = ours] {
    EXPECT_TRUE(absl::IsUnavailable(Connect(FdAddress(std::move(socket)), Client()).status()));
  }));
}

// --- on the control socket ---

class Silent final : public ControlSink {
 public:
  void OnControl(const ControlMessage&) override {}
  void OnPeerGone() override { gone.Set(); }
  void OnControlViolation(const char*) override {}
  Event gone;
};

TEST_F(SlowDescriptorsTest, WithAControlMessage) {
  auto [ours, theirs] = SocketPair();
  const base::Fd same = base::Duplicate(ours.get());
  auto sink = std::make_shared<Silent>();
  auto channel = WatchControl(std::move(ours), {}, sink).value();
  slow_.Pass(theirs, same.get(), EncodeControl({.kind = ControlMessage::Kind::kCancel}));
  EXPECT_FALSE(slow_.HoldsUp([&] {
    sink->gone.Wait();
    Event next_in_turn;
    const auto timer = StartTimer(0, [&] { next_in_turn.Set(); }).value();
    next_in_turn.Wait();
  }));
  slow_.Release();  // `same` may be the last one
}

TEST_F(SlowDescriptorsTest, WithAControlMessageThatNobodyReadsAnyMore) {
  auto [ours, theirs] = SocketPair();
  const int number = ours.get();
  auto sink = std::make_shared<Silent>();
  std::unique_ptr<ControlChannel> channel;
  Event ended;
  // On the monitor's thread, which so has no time to look before.
  const auto starter = StartTimer(0, [&, &socket = ours, &peer = theirs] {
    channel = WatchControl(std::move(socket), {}, sink).value();
    slow_.Pass(peer, number, EncodeControl({.kind = ControlMessage::Kind::kCancel}));
    EXPECT_FALSE(slow_.HoldsUp([&] { channel.reset(); }));
    ended.Set();
  });
  ended.Wait();
}

// --- the thread that closes ---

TEST_F(SlowDescriptorsTest, DoNotHoldUpTheEndOfTheProcess) {
  Child child([&] {
    SlowToClose own;
    auto client = std::make_unique<FakeClient>();
    own.Pass(client->socket(), client->server().fd(), Encode(GoodClientHello()));
    const Progress progress = client->server().Step();
    client.reset();
    return progress == Progress::kFailed ? 0 : 1;
  });
  EXPECT_FALSE(slow_.HoldsUp([&] { EXPECT_EQ(child.Wait(), 0); }));
}

}  // namespace
}  // namespace nearcall::transport::testing
