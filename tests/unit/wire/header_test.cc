// SPDX-License-Identifier: Apache-2.0
#include "wire/header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/limits.h"
#include "nearcall/internal/method.h"

namespace nearcall::wire {
namespace {

using ::testing::HasSubstr;

using Bytes = std::array<std::byte, kHeaderSize>;

Bytes Encode(const FrameHeader& header) {
  Bytes bytes;
  EncodeHeader(header, bytes);
  return bytes;
}

absl::Status Decode(const Bytes& bytes, FrameHeader& header) {
  FrameHeader copy;
  std::memcpy(&copy, bytes.data(), kHeaderSize);
  return DecodeHeader(bytes, kHeaderSize + copy.payload_size, header);
}

absl::Status Decode(const FrameHeader& header) {
  FrameHeader decoded;
  return Decode(Encode(header), decoded);
}

FrameHeader Request(uint32_t size = 100) {
  return {.kind = FrameKind::kRequest,
          .flags = kFirst | kLast,
          .priority = 2,
          .payload_size = size,
          .sequence = 7,
          .call_id = 1,
          .method_id = 0x0123456789abcdef,
          .source_id = 9,
          .time_left_ns = 5'000'000,
          .message_size = size};
}

FrameHeader Reply() {
  FrameHeader header = Request();
  header.kind = FrameKind::kReply;
  header.flags |= kEnvelope;
  header.status = 5;
  header.time_left_ns = 0;
  header.envelope_size = 30;
  return header;
}

FrameHeader Element() {
  FrameHeader header = Request();
  header.kind = FrameKind::kMessage;
  header.time_left_ns = 0;
  return header;
}

FrameHeader Bare(FrameKind kind, uint32_t message_size) {
  FrameHeader header = Element();
  header.kind = kind;
  header.payload_size = 0;
  header.message_size = message_size;
  return header;
}

FrameHeader HalfClose() {
  return Bare(FrameKind::kHalfClose, 0);
}

FrameHeader Credit() {
  return Bare(FrameKind::kCredit, 65536);
}

FrameHeader Fragment(uint8_t place, uint32_t payload_size) {
  FrameHeader header = Element();
  header.flags = place;
  header.payload_size = payload_size;
  return header;
}

FrameHeader With(FrameHeader header, const std::function<void(FrameHeader&)>& change) {
  change(header);
  return header;
}

std::vector<FrameHeader> AllShapes() {
  return {Request(),
          With(Request(), [](FrameHeader& h) { h.flags |= kOneWay | kEnd; }),
          Request(0),
          With(Request(), [](FrameHeader& h) { h.flags |= kEnd; }),
          With(Request(), [](FrameHeader& h) { h.call_id |= kBegunByAcceptor; }),
          Reply(),
          With(Reply(), [](FrameHeader& h) { h.fd_count = 3; }),
          Element(),
          With(Element(), [](FrameHeader& h) { h.flags |= kEnd | kPacked; }),
          With(Fragment(kFirst, 40), [](FrameHeader& h) { h.flags |= kEnd; }),
          HalfClose(),
          Credit(),
          Fragment(kFirst, 40),
          Fragment(0, 40),
          Fragment(kLast, 40),
          Fragment(kLast | kAborted, 0)};
}

TEST(HeaderTest, EveryShapeComesBackAsItWent) {
  for (const FrameHeader& header : AllShapes()) {
    FrameHeader decoded;
    ASSERT_TRUE(Decode(Encode(header), decoded).ok()) << static_cast<int>(header.kind) << "/" << int{header.flags};
    EXPECT_EQ(Encode(decoded), Encode(header));
  }
}

// The worked example of runtime/PROTOCOL.md.
TEST(HeaderTest, IsWhatTheProtocolDocumentSays) {
  const FrameHeader header = {.kind = FrameKind::kRequest,
                              .flags = kFirst | kLast | kEnd,
                              .priority = 1,
                              .payload_size = 5,
                              .sequence = 3,
                              .call_id = 0x10002,
                              .method_id = internal::MethodId("demo.Echo/Say"),
                              .source_id = 4,
                              .time_left_ns = 5'000'000,
                              .message_size = 5};
  const Bytes bytes = Encode(header);
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_EQ(absl::BytesToHexString(text),
            "0101430105000000"
            "0300000000000000"
            "0200010000000000"
            "1d2bd64ce7286ed7"
            "0400000000000000"
            "404b4c0000000000"
            "0500000000000000");
}

struct BadHeader {
  const char* name;
  FrameHeader header;
  const char* text;
};

class BadHeaderTest : public ::testing::TestWithParam<BadHeader> {};

TEST_P(BadHeaderTest, IsRefusedWithFieldAndReason) {
  const absl::Status status = Decode(GetParam().header);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().text));
}

BadHeader Bad(
    const char* name, const char* text, FrameHeader header,
    const std::function<void(FrameHeader&)>& change = [](FrameHeader&) {}) {
  return {name, With(header, change), text};
}

constexpr uint32_t kHuge = std::numeric_limits<uint32_t>::max();

INSTANTIATE_TEST_SUITE_P(
    Fields, BadHeaderTest,
    ::testing::Values(
        Bad("Version0", "version 0, expected 1", Request(), [](FrameHeader& h) { h.version = 0; }),
        Bad("Version2", "version 2, expected 1", Request(), [](FrameHeader& h) { h.version = 2; }),
        Bad("Kind0", "kind 0", Request(), [](FrameHeader& h) { h.kind = FrameKind{0}; }),
        Bad("Kind6", "kind 6", Request(), [](FrameHeader& h) { h.kind = FrameKind{6}; }),
        Bad("EndOfReply", "flags 71, expected not bit 6", Reply(), [](FrameHeader& h) { h.flags |= kEnd; }),
        Bad("EndOfHalfClose", "flags 67", HalfClose(), [](FrameHeader& h) { h.flags |= kEnd; }),
        Bad("PackedRequest", "flags 131, expected not bit 7", Request(), [](FrameHeader& h) { h.flags |= kPacked; }),
        Bad("PackedInParts", "not bit 7", Fragment(kFirst, 40), [](FrameHeader& h) { h.flags |= kPacked; }),
        Bad("Lane4", "priority 4", Request(), [](FrameHeader& h) { h.priority = 4; }),
        Bad("Reserved", "reserved byte 1", Request(), [](FrameHeader& h) { h.reserved = 1; }),
        Bad("Attachments", "attachment_count 17", Request(), [](FrameHeader& h) { h.attachment_count = 17; }),
        Bad("NoCall", "call_id 0", Request(), [](FrameHeader& h) { h.call_id = 0; }),
        Bad("NoCallOfTheAcceptor", "call_id 9223372036854775808", Request(),
            [](FrameHeader& h) { h.call_id = kBegunByAcceptor; }),
        Bad("Status17", "status 17", Reply(), [](FrameHeader& h) { h.status = 17; }),
        Bad("StatusOfRequest", "status 5, expected 0", Request(), [](FrameHeader& h) { h.status = 5; }),
        Bad("StatusOfElement", "status 5, expected 0", Element(), [](FrameHeader& h) { h.status = 5; }),
        Bad("TimeLeftOfReply", "time_left_ns 1", Reply(), [](FrameHeader& h) { h.time_left_ns = 1; }),
        Bad("TimeLeftNegative", "time_left_ns 9223372036854775808", Request(),
            [](FrameHeader& h) { h.time_left_ns = uint64_t{1} << 63; }),
        Bad("OneWayReply", "not bit 3", Reply(), [](FrameHeader& h) { h.flags |= kOneWay; }),
        Bad("OneWayWithoutEnd", "bit 6 and not bit 4", Request(), [](FrameHeader& h) { h.flags |= kOneWay; }),
        Bad("OneWayWithElements", "bit 6 and not bit 4", Request(),
            [](FrameHeader& h) { h.flags |= kOneWay | kEnd | kElements; }),
        Bad("ElementsForAReply", "not bit 4", Reply(), [](FrameHeader& h) { h.flags |= kElements; })),
    [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Sizes, BadHeaderTest,
    ::testing::Values(
        Bad("WholeButShort", "payload_size 99, expected 100", Request(), [](FrameHeader& h) { h.payload_size = 99; }),
        Bad("WholeButLong", "payload_size 101, expected 100", Request(), [](FrameHeader& h) { h.payload_size = 101; }),
        Bad("FirstWithAll", "payload_size 100, expected a part", Fragment(kFirst, 100)),
        Bad("FirstWithMore", "payload_size 4294967295, expected a part", Fragment(kFirst, kHuge)),
        Bad("FirstEmpty", "payload_size 0, expected a part", Fragment(kFirst, 0)),
        Bad("MiddleEmpty", "payload_size 0, expected a part", Fragment(0, 0)),
        Bad("MiddleWithAll", "payload_size 100, expected a part", Fragment(0, 100)),
        Bad("LastEmpty", "payload_size 0, expected a part", Fragment(kLast, 0)),
        Bad("LastWithAll", "payload_size 100, expected a part", Fragment(kLast, 100)),
        Bad("AbortedFirst", "last, not first", Fragment(kFirst | kLast | kAborted, 100)),
        Bad("AbortedNotLast", "last, not first", Fragment(kAborted, 0)),
        Bad("AbortedWithPayload", "payload_size 1, expected 0", Fragment(kLast | kAborted, 1)),
        Bad("EnvelopeWithoutFlag", "envelope_size 30, expected 0", Reply(),
            [](FrameHeader& h) { h.flags = kFirst | kLast; }),
        Bad("FlagWithoutEnvelope", "envelope_size 0, expected more", Reply(),
            [](FrameHeader& h) { h.envelope_size = 0; }),
        Bad("EnvelopeBeyondMessage", "envelope_size 101, expected at most the message's 100", Reply(),
            [](FrameHeader& h) { h.envelope_size = 101; }),
        Bad("EnvelopeBeyondLimit", "envelope_size 131073, expected at most 131072", Reply(),
            [](FrameHeader& h) {
              h.payload_size = h.message_size = kHuge;
              h.envelope_size = base::kMaxEnvelopeSize + 1;
            }),
        Bad("HalfCloseWithPayload", "payload_size 1", HalfClose(),
            [](FrameHeader& h) { h.message_size = h.payload_size = 1; }),
        Bad("HalfCloseWithSize", "message_size 1", HalfClose(), [](FrameHeader& h) { h.message_size = 1; }),
        Bad("HalfCloseInParts", "flags 1", HalfClose(), [](FrameHeader& h) { h.flags = kFirst; }),
        Bad("CreditOfNothing", "message_size 0", Credit(), [](FrameHeader& h) { h.message_size = 0; }),
        Bad("CreditWithPayload", "payload_size 1", Credit(), [](FrameHeader& h) { h.payload_size = 1; }),
        Bad("CreditWithDescriptors", "fd_count 1, expected 0", Credit(), [](FrameHeader& h) { h.fd_count = 1; }),
        Bad("CreditWithEnvelope", "flags 7", Credit(), [](FrameHeader& h) { h.flags |= kEnvelope; }),
        Bad("CreditWithEnvelopeSize", "envelope_size 1", Credit(), [](FrameHeader& h) { h.envelope_size = 1; })),
    [](const auto& param) { return param.param.name; });

TEST(HeaderTest, PayloadSizeMustFitTheFrame) {
  const Bytes bytes = Encode(Request(100));
  FrameHeader header;
  EXPECT_TRUE(DecodeHeader(bytes, kHeaderSize + 100, header).ok());
  EXPECT_THAT(std::string(DecodeHeader(bytes, kHeaderSize + 99, header).message()), HasSubstr("expected 99"));
  EXPECT_THAT(std::string(DecodeHeader(bytes, kHeaderSize + 101, header).message()), HasSubstr("expected 101"));
  EXPECT_FALSE(DecodeHeader(bytes, kHeaderSize + 100 + (size_t{1} << 32), header).ok());
}

TEST(HeaderTest, ShortInputIsRefusedWithoutReadingBehindIt) {
  const Bytes whole = Encode(Request(0));
  for (size_t size = 0; size < kHeaderSize; ++size) {
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));  // ASan watches
    FrameHeader header;
    EXPECT_EQ(DecodeHeader(cut, kHeaderSize, header).code(), absl::StatusCode::kInternal);
    EXPECT_EQ(DecodeHeader(whole, size, header).code(), absl::StatusCode::kInternal);
  }
}

TEST(HeaderTest, LargestTimeLeftIsTaken) {
  FrameHeader header = Request();
  header.time_left_ns = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(Decode(header).ok());
}

// Said in other words than header.cc says it.
bool IsPossible(const FrameHeader& h) {
  const bool first = h.has(kFirst), last = h.has(kLast), aborted = h.has(kAborted);
  const bool bare = h.kind == FrameKind::kHalfClose || h.kind == FrameKind::kCredit;
  const bool sizes = bare            ? first && last && !aborted && h.payload_size == 0
                     : aborted       ? last && !first && h.payload_size == 0
                     : first && last ? h.payload_size == h.message_size
                                     : h.payload_size > 0 && h.payload_size < h.message_size;
  const bool envelope =
      h.has(kEnvelope) ? !bare && h.envelope_size > 0 && h.envelope_size <= h.message_size : h.envelope_size == 0;
  const bool one_way = !h.has(kOneWay) || (h.has(kEnd) && !h.has(kElements));
  const bool request =
      h.kind == FrameKind::kRequest ? one_way : (h.time_left_ns == 0 && !h.has(kOneWay) && !h.has(kElements));
  const bool element = h.kind == FrameKind::kMessage;
  const bool stream =
      (!h.has(kEnd) || element || h.kind == FrameKind::kRequest) && (!h.has(kPacked) || (element && first && last));
  return h.version == 1 && h.kind >= FrameKind::kRequest && h.kind <= FrameKind::kCredit && h.priority < 4 &&
         h.call_id << 1 != 0 && sizes && envelope && request && stream && (!bare || h.fd_count == 0) &&
         (h.kind == FrameKind::kReply ? h.status <= 16 : h.status == 0);
}

TEST(HeaderTest, EverySingleAndDoubleBitFlipFailsOrIsConsistent) {
  for (const FrameHeader& shape : AllShapes()) {
    for (size_t i = 0; i < kHeaderSize * 8; ++i) {
      for (size_t j = i; j < kHeaderSize * 8; ++j) {
        Bytes bytes = Encode(shape);
        bytes[i / 8] ^= std::byte{1} << (i % 8);
        if (j != i) bytes[j / 8] ^= std::byte{1} << (j % 8);
        FrameHeader header;
        if (!Decode(bytes, header).ok()) continue;
        ASSERT_EQ(Encode(header), bytes) << i << ", " << j;
        ASSERT_TRUE(IsPossible(header)) << i << ", " << j;
      }
    }
  }
}

}  // namespace
}  // namespace nearcall::wire
