// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "fake_peer.h"
#include "fake_transport.h"
#include "process.h"
#include "slow_to_close.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// --- hostile peers ---

TEST(HostileHandshakeTest, AClientHelloWithAnyByteFlippedHarmsNobody) {
  const std::vector<std::byte> good = Encode(GoodClientHello());
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int flip : {0x01, 0x08, 0x80, 0xff}) {
      std::vector<std::byte> hello = good;
      hello[at] ^= static_cast<std::byte>(flip);
      FakeClient client;
      const Progress progress = client.Say(hello);
      EXPECT_EQ(progress == Progress::kFailed, !client.server().error().ok());
      EXPECT_NE(progress, Progress::kDone);
    }
  }
}

TEST(HostileHandshakeTest, AnAcknowledgementWithAnyByteFlippedHarmsNobody) {
  const std::vector<std::byte> good = EncodeAck(absl::StatusCode::kOk);
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int flip : {0x01, 0x08, 0x80, 0xff}) {
      std::vector<std::byte> ack = good;
      ack[at] ^= static_cast<std::byte>(flip);
      FakeClient client;
      client.TakeOffer();
      EXPECT_EQ(client.Say(ack), at < 8 ? Progress::kFailed : Progress::kDone) << at;
    }
  }
}

TEST(HostileHandshakeTest, AServerHelloWithAnyByteFlippedHarmsNobody) {
  const std::vector<std::byte> good = Encode(GoodServerHello());
  const base::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int flip : {0x01, 0x08, 0x80, 0xff}) {
      std::vector<std::byte> hello = good;
      hello[at] ^= static_cast<std::byte>(flip);
      const int fd = file.get();
      const bool counts = at < 6 || (at >= 8 && at < 16) || at == 40 || at == 41 || (at >= 64 && at < 96);
      EXPECT_FALSE(ConnectToFakeServer(hello, {&fd, 1}).ok() && counts) << at;
    }
  }
}

TEST(HostileHandshakeTest, AHelloOfAnyOtherSizeIsRefusedWithoutAnAnswer) {
  for (const size_t size : {size_t{1}, size_t{63}, size_t{65}, kMaxHelloSize}) {
    std::vector<std::byte> hello = Encode(GoodClientHello());
    hello.resize(size);
    FakeClient client;
    EXPECT_EQ(client.Say(hello), Progress::kFailed);
    EXPECT_TRUE(absl::IsInternal(client.server().error())) << client.server().error();
    EXPECT_FALSE(WaitReadable(client.socket().get(), 0));
  }
  std::vector<std::byte> hello = Encode(GoodServerHello());
  for (const size_t size : {hello.size() - 1, hello.size() + 1}) {
    hello.resize(size);
    EXPECT_TRUE(absl::IsInternal(ConnectToFakeServer(hello).status()));
  }
}

TEST(HostileHandshakeTest, AMessageLongerThanAnyHelloIsRefused) {
  FakeClient client;
  std::vector<std::byte> hello = Encode(GoodClientHello());
  hello.resize(100'000);
  ASSERT_GT(::send(client.socket().get(), hello.data(), hello.size(), 0), 0);
  EXPECT_EQ(client.server().Step(), Progress::kFailed);
  EXPECT_TRUE(absl::IsInternal(client.server().error()));
}

TEST(HostileHandshakeTest, DescriptorsFromAClientNeverArrive) {
  for (const bool kernel_refuses : {true, false}) {
    FakeClient client;
    const int on = 1;
    if (!kernel_refuses) ::setsockopt(client.server().fd(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &on, sizeof(on));
    const size_t descriptors = OpenDescriptors();
    if (!SendDescriptors(client.socket().get(), Encode(GoodClientHello()), 253)) {
      EXPECT_TRUE(kernel_refuses);
      continue;
    }
    EXPECT_EQ(client.server().Step(), Progress::kFailed);
    EXPECT_TRUE(absl::IsInternal(client.server().error())) << client.server().error();
    EXPECT_TRUE(SoonOpenDescriptors(descriptors));
  }
}

// Not even where the kernel does not say who sends, which leaves room for some.
TEST(HostileHandshakeTest, DescriptorsFromAClientStayNowhere) {
  auto client = std::make_unique<FakeClient>();
  const size_t descriptors = OpenDescriptors();
  const int on = 1;
  const int off = 0;
  ::setsockopt(client->server().fd(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &on, sizeof(on));
  ::setsockopt(client->server().fd(), SOL_SOCKET, SO_PASSCRED, &off, sizeof(off));
  ASSERT_TRUE(SendDescriptors(client->socket().get(), Encode(GoodClientHello()), 3));
  EXPECT_EQ(client->server().Step(), Progress::kFailed);
  EXPECT_TRUE(absl::IsInternal(client->server().error())) << client->server().error();
  client.reset();
  EXPECT_TRUE(SoonOpenDescriptors(descriptors - 2));
}

TEST(HostileHandshakeTest, TheKernelRefusesDescriptorsFromAClientWhereItCan) {
  FakeClient client;
  int passes = 0;
  socklen_t size = sizeof(passes);
  if (::getsockopt(client.server().fd(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &passes, &size) != 0) {
    GTEST_SKIP() << "NOT TESTED: a kernel before 6.16";
  }
  EXPECT_FALSE(SendDescriptors(client.socket().get(), Encode(GoodClientHello()), 1));
  EXPECT_EQ(errno, EPERM);
}

TEST(HostileHandshakeTest, ADescriptorWithTheAcknowledgementNeverArrives) {
  FakeClient client;
  client.TakeOffer();
  const int on = 1;
  ::setsockopt(client.server().fd(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &on, sizeof(on));
  ASSERT_TRUE(SendDescriptors(client.socket().get(), EncodeAck(absl::StatusCode::kOk), 1));
  EXPECT_EQ(client.server().Step(), Progress::kFailed);
}

// --- an acknowledgement that proves nothing ---

TEST(HostileHandshakeTest, AnOfferThatWasNotReceivedCannotBeAcknowledged) {
  FakeClient client;
  EXPECT_EQ(client.Say(Encode(GoodClientHello())), Progress::kWaiting);
  EXPECT_EQ(client.Say(EncodeAck(absl::StatusCode::kOk)), Progress::kFailed);
  EXPECT_TRUE(absl::IsInternal(client.server().error())) << client.server().error();
  EXPECT_THAT(client.server().error().message(), HasSubstr("has not received"));
}

TEST(HostileHandshakeTest, AnOfferThatWasOnlyLookedAtCannotBeAcknowledged) {
  FakeClient client;
  EXPECT_EQ(client.Say(Encode(GoodClientHello())), Progress::kWaiting);
  EXPECT_TRUE(ReceiveHello(client.socket(), Taking::kLook).value().has_value());
  EXPECT_EQ(client.Say(EncodeAck(absl::StatusCode::kOk)), Progress::kFailed);
}

TEST(HostileHandshakeTest, AnAcknowledgementSaidTogetherWithTheHelloIsNone) {
  FakeClient client;
  ASSERT_TRUE(SendHello(client.socket(), Encode(GoodClientHello())).ok());
  EXPECT_EQ(client.Say(EncodeAck(absl::StatusCode::kOk)), Progress::kFailed);
  EXPECT_TRUE(absl::IsInternal(client.server().error())) << client.server().error();
}

TEST(HostileHandshakeTest, AnotherProcessCannotAcknowledge) {
  FakeClient client;
  client.TakeOffer();
  Child other([&] { return SendHello(client.socket(), EncodeAck(absl::StatusCode::kOk)).ok() ? 0 : 1; });
  ASSERT_EQ(other.Wait(), 0);
  EXPECT_EQ(client.server().Step(), Progress::kFailed);
  EXPECT_TRUE(absl::IsInternal(client.server().error())) << client.server().error();
  EXPECT_THAT(client.server().error().message(), HasSubstr("is not from process"));
}

TEST(HostileHandshakeTest, AnotherUserCannotAcknowledge) {
  NEARCALL_TEST_NEEDS_ROOT();
  FakeClient client;
  client.TakeOffer();
  ASSERT_EQ(::seteuid(kOtherUid), 0);
  const Progress progress = client.Say(EncodeAck(absl::StatusCode::kOk));
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(progress, Progress::kFailed);
  EXPECT_TRUE(absl::IsInternal(client.server().error())) << client.server().error();
}

TEST(HostileHandshakeTest, TooManyTooFewOrUnaskedDescriptorsAreClosed) {
  for (const size_t count : {size_t{0}, size_t{2}, size_t{4}, size_t{5}, size_t{100}}) {
    auto [ours, theirs] = SocketPair();
    const int on = 1;
    ::setsockopt(ours.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
    if (count == 0) {
      ASSERT_TRUE(SendHello(theirs, Encode(GoodServerHello())).ok());
    } else {
      ASSERT_TRUE(SendDescriptors(theirs.get(), Encode(GoodServerHello()), count));
    }
    const size_t descriptors = OpenDescriptors();
    const absl::Status error = Connect(FdAddress(std::move(ours)), Client()).status();
    EXPECT_TRUE(absl::IsInternal(error)) << error;
    EXPECT_THAT(error.message(), HasSubstr("announced 1 descriptors"));
    EXPECT_TRUE(SoonOpenDescriptors(descriptors - 1));
  }
}

TEST(HostileHandshakeTest, ATransportThatWasNotAskedForIsRefused) {
  for (const int bit : {0, 4, 32, 255}) {
    ServerHello hello = GoodServerHello();
    hello.transport_bit = static_cast<uint8_t>(bit);
    hello.fd_count = 0;
    const absl::Status error = ConnectToFakeServer(Encode(hello)).status();
    EXPECT_TRUE(absl::IsInternal(error)) << error;
    EXPECT_THAT(error.message(), HasSubstr("not asked for"));
  }
}

TEST(HostileHandshakeTest, ATransportOtherThanTheOneOfTheAddressIsRefused) {
  auto [ours, theirs] = SocketPair();
  ServerHello hello = GoodServerHello();
  hello.transport_bit = kRows[2].bit;
  hello.fd_count = 0;
  ASSERT_TRUE(SendHello(theirs, Encode(hello)).ok());
  Address address = FdAddress(std::move(ours));
  address.transport = std::string(kRows[0].name);
  const absl::Status error = Connect(address, Client()).status();
  EXPECT_TRUE(absl::IsInternal(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("not asked for"));
}

// --- limits ---

TEST(HostileHandshakeTest, AClientWithoutDescriptorsNamesTheLimit) {
  const base::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto [ours, theirs] = SocketPair();
  const std::array<int, 4> fds{file.get(), file.get(), file.get(), file.get()};
  ServerHello hello = GoodServerHello();
  hello.fd_count = 4;
  ASSERT_TRUE(SendHello(theirs, Encode(hello), fds).ok());
  const Address address = FdAddress(std::move(ours));
  const NoMoreDescriptors limit(2);  // one is needed to take the socket over
  const absl::Status error = Connect(address, Client()).status();
  EXPECT_TRUE(absl::IsResourceExhausted(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("RLIMIT_NOFILE is "));
}

TEST(HostileHandshakeTest, AClientWithoutADescriptorForItsSocketNamesTheLimit) {
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo")).value();
  for (const int room : {0, 1}) {
    const NoMoreDescriptors limit(room);
    const absl::Status error = Connect(Parse("echo"), Client()).status();
    EXPECT_TRUE(absl::IsResourceExhausted(error)) << error;
    EXPECT_THAT(error.message(), HasSubstr("RLIMIT_NOFILE is "));
  }
}

TEST(HostileHandshakeTest, TooManyDescriptorsInFlightReachTheClientAsALimit) {
  NEARCALL_TEST_NEEDS_ROOT();
  // The kernel counts what a user has in flight against RLIMIT_NOFILE, except for the privileged.
  Child unprivileged([] {
    BecomeUser(kOtherUid);
    auto [full, other] = SocketPair();
    const std::vector<std::byte> bytes(1);
    FakeClient client;
    rlimit limit{.rlim_cur = 32, .rlim_max = 32};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    while (SendDescriptors(full.get(), bytes, 20)) {
    }
    if (errno != ETOOMANYREFS) return 2;
    if (client.Say(Encode(GoodClientHello())) != Progress::kFailed) return 3;
    const ServerHello answer = client.Answer();
    return absl::IsResourceExhausted(answer.status) &&
                   answer.status.message().find("RLIMIT_NOFILE") != absl::string_view::npos
               ? 0
               : 4;
  });
  EXPECT_EQ(unprivileged.Wait(), 0);
}

}  // namespace
}  // namespace nearcall::transport::testing
