// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/hello.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace nearcall::transport {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

ClientHello SomeClientHello() {
  return {.features = 0x0102030405060708,
          .transports = 0x80000005,
          .terms = {.max_message_size = 0x11121314, .max_calls_in_flight = 0x21222324, .max_descriptors = 3}};
}

ServerHello SomeServerHello() {
  return {.features = 1,
          .transport_bit = 3,
          .fd_count = 4,
          .terms = {.max_message_size = 5, .max_calls_in_flight = 6, .max_descriptors = 13},
          .server_id = 7,
          .connection_id = 8,
          .geometry = {9, 10, 11, 12}};
}

std::vector<std::byte> WithMajor(std::vector<std::byte> bytes, uint16_t major) {
  std::memcpy(&bytes[4], &major, sizeof(major));
  return bytes;
}

TEST(HelloTest, ClientHelloBytesAreAsDocumented) {
  const std::vector<std::byte> bytes = Encode(SomeClientHello());
  ASSERT_EQ(bytes.size(), 64u);
  const unsigned char expected[32] = {'N',  'C',  'c',  'h',  1,    0,    0,    0,    0x60, 0x01, 0x10,
                                      0x10, 0x05, 0,    0,    0x80, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03,
                                      0x02, 0x01, 0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22, 0x21};
  EXPECT_EQ(std::memcmp(bytes.data(), expected, sizeof(expected)), 0);
  EXPECT_EQ(bytes[36], std::byte{3});
}

TEST(HelloTest, ClientHelloArrives) {
  const ClientHello hello = DecodeClientHello(Encode(SomeClientHello())).value();
  EXPECT_EQ(hello.features, 0x0102030405060708u);
  EXPECT_EQ(hello.transports, 0x80000005u);
  EXPECT_EQ(hello.terms.max_message_size, 0x11121314u);
  EXPECT_EQ(hello.terms.max_calls_in_flight, 0x21222324u);
  EXPECT_EQ(hello.terms.max_descriptors, 3);
}

TEST(HelloTest, ServerHelloArrives) {
  const ServerHello hello = DecodeServerHello(Encode(SomeServerHello())).value();
  EXPECT_TRUE(hello.status.ok());
  EXPECT_EQ(hello.features, 1u);
  EXPECT_EQ(hello.transport_bit, 3);
  EXPECT_EQ(hello.fd_count, 4);
  EXPECT_EQ(hello.terms.max_message_size, 5u);
  EXPECT_EQ(hello.terms.max_calls_in_flight, 6u);
  EXPECT_EQ(hello.terms.max_descriptors, 13);
  EXPECT_EQ(Encode(SomeServerHello())[48], std::byte{13});
  EXPECT_EQ(hello.server_id, 7u);
  EXPECT_EQ(hello.connection_id, 8u);
  EXPECT_EQ(hello.geometry, (Geometry{9, 10, 11, 12}));
}

TEST(HelloTest, ARefusalArrivesCutAndPrintable) {
  const std::string text = "line\n\x1b[31m\xff" + std::string(300, 'x');
  const ServerHello hello = DecodeServerHello(Encode(ServerHello{.status = absl::AbortedError(text)})).value();
  EXPECT_EQ(hello.status, absl::AbortedError("line??[31m?" + std::string(245, 'x')));
}

TEST(HelloTest, AnotherMinorVersionAndUnknownFeaturesAreFine) {
  std::vector<std::byte> bytes = Encode(SomeClientHello());
  bytes[6] = std::byte{99};
  for (size_t i = 32; i < 64; ++i) bytes[i] = std::byte{0xff};  // reserved for it
  EXPECT_TRUE(DecodeClientHello(bytes).ok());
}

TEST(HelloTest, AnotherMajorVersionIsNamedWithOurs) {
  // Of whatever size: only the first eight bytes are known of it.
  std::vector<std::byte> client = WithMajor(Encode(SomeClientHello()), 7);
  for (const unsigned size : {8u, 64u, 500u}) {
    client.resize(size);
    const absl::Status error = DecodeClientHello(client).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(error)) << error;
    EXPECT_THAT(error.message(), AllOf(HasSubstr("version 7.0"), HasSubstr("this side 1.0")));
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeServerHello(WithMajor(Encode(SomeServerHello()), 0)).status()));
}

TEST(HelloTest, AnotherLayoutIsAVersionMismatch) {
  std::vector<std::byte> bytes = Encode(SomeClientHello());
  bytes[8] ^= std::byte{1};
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeClientHello(bytes).status()));
}

TEST(HelloTest, EveryOtherSizeIsRefused) {
  for (size_t size = 0; size <= 512; ++size) {
    std::vector<std::byte> client = Encode(SomeClientHello());
    std::vector<std::byte> server = Encode(SomeServerHello());
    std::vector<std::byte> ack = EncodeAck(absl::StatusCode::kOk);
    const bool sizes[] = {size == client.size(), size == server.size(), size == ack.size()};
    for (auto* bytes : {&client, &server, &ack}) bytes->resize(size);
    EXPECT_EQ(DecodeClientHello(client).ok(), sizes[0]);
    EXPECT_EQ(DecodeServerHello(server).ok(), sizes[1]);
    EXPECT_EQ(DecodeAck(ack).ok(), sizes[2]);
    EXPECT_EQ(absl::IsInternal(DecodeClientHello(client).status()), !sizes[0]);
    EXPECT_EQ(absl::IsInternal(DecodeServerHello(server).status()), !sizes[1]);
  }
}

TEST(HelloTest, EveryFlippedByteIsAnErrorOrAnotherValue) {
  const std::vector<std::byte> client = Encode(SomeClientHello());
  const std::vector<std::byte> server = Encode(SomeServerHello());
  for (int flip = 1; flip < 256; ++flip) {
    for (size_t at = 0; at < server.size(); ++at) {
      std::vector<std::byte> bytes = server;
      bytes[at] ^= static_cast<std::byte>(flip);
      const auto hello = DecodeServerHello(bytes);
      EXPECT_FALSE(hello.ok() && (at < 6 || (at >= 8 && at < 12))) << at;
      EXPECT_FALSE(hello.ok() && hello->status.message().size() > kMaxRefusalTextSize);
    }
    for (size_t at = 0; at < client.size(); ++at) {
      std::vector<std::byte> bytes = client;
      bytes[at] ^= static_cast<std::byte>(flip);
      EXPECT_EQ(DecodeClientHello(bytes).ok(), at == 6 || at == 7 || at >= 12) << at;
    }
  }
}

TEST(HelloTest, AStatusThatIsNoneIsRefused) {
  std::vector<std::byte> bytes = Encode(SomeServerHello());
  bytes[12] = std::byte{17};
  EXPECT_TRUE(absl::IsInternal(DecodeServerHello(bytes).status()));
  bytes[12] = std::byte{16};
  EXPECT_TRUE(absl::IsUnauthenticated(DecodeServerHello(bytes)->status));
}

TEST(HelloTest, ATextLongerThanItsPlaceIsRefused) {
  std::vector<std::byte> bytes = Encode(SomeServerHello());
  bytes[12] = std::byte{13};
  bytes[42] = std::byte{1};  // 257
  bytes[43] = std::byte{1};
  EXPECT_TRUE(absl::IsInternal(DecodeServerHello(bytes).status()));
}

TEST(HelloTest, AcknowledgementArrives) {
  EXPECT_EQ(DecodeAck(EncodeAck(absl::StatusCode::kOk)).value(), absl::StatusCode::kOk);
  EXPECT_EQ(DecodeAck(EncodeAck(absl::StatusCode::kInternal)).value(), absl::StatusCode::kInternal);
  std::vector<std::byte> bytes = EncodeAck(absl::StatusCode::kOk);
  bytes[4] = std::byte{99};
  EXPECT_TRUE(absl::IsInternal(DecodeAck(bytes).status()));
}

}  // namespace
}  // namespace nearcall::transport
