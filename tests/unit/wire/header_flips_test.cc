// SPDX-License-Identifier: Apache-2.0

// Every header that differs from a correct one in one or two bits, exhaustively: 448 and 100,128 for each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "base/limits.h"
#include "wire/header.h"
#include "wire/reassembler.h"
#include "wire/sequence.h"

namespace nearcall::wire {
namespace {

using ::testing::IsSubsetOf;

constexpr size_t kBits = kHeaderSize * 8;
constexpr uint32_t kPayload = 24;
constexpr uint32_t kSource = 9;

using Bytes = std::array<std::byte, kHeaderSize>;

Bytes Encode(const FrameHeader& header) {
  Bytes bytes;
  EncodeHeader(header, bytes);
  return bytes;
}

FrameHeader Whole(FrameKind kind) {
  FrameHeader header;
  header.kind = kind;
  header.flags = kFirst | kLast;
  header.priority = 1;
  header.payload_size = header.message_size = kPayload;
  header.sequence = 1;
  header.call_id = 5;
  header.method_id = 0x0123456789abcdef;
  header.source_id = kSource;
  return header;
}

FrameHeader Request() {
  FrameHeader header = Whole(FrameKind::kRequest);
  header.time_left_ns = 5'000'000;
  return header;
}

FrameHeader RequestWithMetadata() {
  FrameHeader header = Request();
  header.flags |= kEnvelope;
  header.envelope_size = 8;
  return header;
}

FrameHeader FirstFragment() {
  FrameHeader header = Request();
  header.flags = kFirst;
  header.message_size = 3 * kPayload;
  return header;
}

FrameHeader Reply() {
  return Whole(FrameKind::kReply);
}

FrameHeader Failure() {
  FrameHeader header = Whole(FrameKind::kReply);
  header.flags |= kEnvelope;
  header.envelope_size = kPayload;
  header.status = 5;
  return header;
}

void Flip(Bytes& bytes, size_t bit) {
  bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
}

// Calls `look` with each of the spoilt headers.
template <typename Look>
void ForEachFlip(const FrameHeader& header, Look&& look) {
  Bytes bytes = Encode(header);
  for (size_t one = 0; one < kBits; ++one) {
    Flip(bytes, one);
    look(bytes);
    for (size_t two = one + 1; two < kBits; ++two) {
      Flip(bytes, two);
      look(bytes);
      Flip(bytes, two);
    }
    Flip(bytes, one);
  }
}

// The fields in which two headers differ.
std::set<std::string> DifferingFields(const FrameHeader& a, const FrameHeader& b) {
  std::set<std::string> names;
  const auto compare = [&](const char* name, auto one, auto other) {
    if (one != other) names.insert(name);
  };
  compare("version", a.version, b.version);
  compare("kind", a.kind, b.kind);
  compare("flags", a.flags, b.flags);
  compare("priority", a.priority, b.priority);
  compare("payload_size", a.payload_size, b.payload_size);
  compare("sequence", a.sequence, b.sequence);
  compare("call_id", a.call_id, b.call_id);
  compare("method_id", a.method_id, b.method_id);
  compare("source_id", a.source_id, b.source_id);
  compare("status", a.status, b.status);
  compare("fd_count", a.fd_count, b.fd_count);
  compare("time_left_ns", a.time_left_ns, b.time_left_ns);
  compare("message_size", a.message_size, b.message_size);
  compare("envelope_size", a.envelope_size, b.envelope_size);
  return names;
}

class HeaderFlipsTest : public ::testing::TestWithParam<FrameHeader (*)()> {
 protected:
  // The frame is as long as it was: of the transport, not of the header.
  static bool Decodes(const Bytes& bytes, FrameHeader& header) {
    // Of its own size, so that a sanitizer sees each byte read beyond it.
    const std::vector<std::byte> copy(bytes.begin(), bytes.end());
    return DecodeHeader(copy, kHeaderSize + kPayload, header).ok();
  }
};

TEST_P(HeaderFlipsTest, WhatIsLetThroughIsWhatStandsThere) {
  ForEachFlip(GetParam()(), [](const Bytes& bytes) {
    FrameHeader header;
    if (!Decodes(bytes, header)) return;
    ASSERT_EQ(Encode(header), bytes) << "a bit of the header is not looked at";
  });
}

TEST_P(HeaderFlipsTest, WhatIsLetThroughIsConsistent) {
  ForEachFlip(GetParam()(), [](const Bytes& bytes) {
    FrameHeader header;
    if (!Decodes(bytes, header)) return;
    ASSERT_EQ(header.version, kWireVersion);
    ASSERT_LT(header.priority, base::kLanes);
    ASSERT_EQ(header.payload_size, kPayload);
    ASSERT_EQ(header.reserved, 0);
    ASSERT_LE(header.attachment_count, base::kMaxMessageAttachments);
    ASSERT_NE(header.call_id, 0u);
    ASSERT_LE(header.envelope_size, header.message_size);
    ASSERT_LE(header.envelope_size, base::kMaxEnvelopeSize);
    if (!header.has(kFirst)) return;
    ASSERT_TRUE(header.has(kLast) ? header.message_size == kPayload : header.message_size > kPayload);
  });
}

// A receiver sees more than the header alone: who sends, the order of the frames, how messages go on. What it cannot
// see changes this call only, and where that may go.
TEST_P(HeaderFlipsTest, WhatAReceiverCannotSeeIsHarmless) {
  const FrameHeader sent = GetParam()();
  std::set<std::string> unseen;
  ForEachFlip(sent, [&](const Bytes& bytes) {
    FrameHeader header;
    if (!Decodes(bytes, header) || header.source_id != kSource) return;
    SequenceChecker sequence;
    if (!sequence.Check(header).ok()) return;
    Reassembler reassembler(1 << 20);
    Message message;
    const auto take = [](std::span<std::byte> to) { ASSERT_EQ(to.size(), kPayload); };
    if (!reassembler.Receive(header, message, take).ok()) return;
    ASSERT_TRUE(reassembler.CheckInvariants());
    unseen.merge(DifferingFields(sent, header));
  });
  EXPECT_THAT(unseen, IsSubsetOf({"kind", "flags", "priority", "call_id", "method_id", "status", "fd_count",
                                  "time_left_ns", "message_size", "envelope_size"}));
}

INSTANTIATE_TEST_SUITE_P(Headers, HeaderFlipsTest,
                         ::testing::Values(&Request, &RequestWithMetadata, &FirstFragment, &Reply, &Failure));

}  // namespace
}  // namespace nearcall::wire
