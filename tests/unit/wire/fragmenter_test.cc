// SPDX-License-Identifier: Apache-2.0
#include "wire/fragmenter.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "absl/strings/str_cat.h"

namespace nearcall::wire {
namespace {

constexpr size_t kMaxFrameSize = kHeaderSize + 8;

FrameHeader MessageHeader() {
  return {.kind = FrameKind::kReply, .priority = 3, .call_id = 5, .method_id = 6, .source_id = 7, .status = 8};
}

// "first 0+8, 8+8, last 16+4", and checks on the way that a receiver would take each header.
std::string Cut(size_t message_size) {
  std::string text;
  for (Fragmenter fragments(MessageHeader(), message_size, kMaxFrameSize); !fragments.done();) {
    const size_t announced = fragments.next_frame_size();
    size_t offset;
    const FrameHeader header = fragments.Next(offset);
    absl::StrAppend(&text, text.empty() ? "" : ", ", header.has(kFirst) ? "first " : "",
                    header.has(kLast) ? "last " : "", offset, "+", header.payload_size);
    std::array<std::byte, kHeaderSize> bytes;
    EncodeHeader(header, bytes);
    FrameHeader decoded;
    EXPECT_TRUE(DecodeHeader(bytes, announced, decoded).ok());
  }
  return text;
}

TEST(FragmenterTest, CutsAtTheFrameSize) {
  EXPECT_EQ(Cut(1), "first last 0+1");
  EXPECT_EQ(Cut(8), "first last 0+8");
  EXPECT_EQ(Cut(9), "first 0+8, last 8+1");
  EXPECT_EQ(Cut(16), "first 0+8, last 8+8");
  EXPECT_EQ(Cut(20), "first 0+8, 8+8, last 16+4");
}

TEST(FragmenterTest, AnEmptyMessageIsOneFrame) {
  EXPECT_EQ(Cut(0), "first last 0+0");
}

TEST(FragmenterTest, EachFrameRepeatsTheMessagesFields) {
  FrameHeader message = MessageHeader();
  message.flags = kEnvelope | kAborted | kFirst;  // the last two are not the caller's
  message.envelope_size = 3;
  Fragmenter fragments(message, 9, kMaxFrameSize);
  size_t offset;
  for (const uint8_t place : {kFirst, kLast}) {
    const FrameHeader header = fragments.Next(offset);
    EXPECT_EQ(header.flags, kEnvelope | place);
    EXPECT_EQ(header.message_size, 9u);
    EXPECT_EQ(header.envelope_size, 3u);
    EXPECT_EQ(header.call_id, 5u);
    EXPECT_EQ(header.priority, 3);
    EXPECT_EQ(header.status, 8);
  }
}

TEST(FragmenterTest, TheLookAheadChangesNothing) {
  Fragmenter fragments(MessageHeader(), 12, kMaxFrameSize);
  EXPECT_EQ(fragments.next_frame_size(), kMaxFrameSize);
  EXPECT_EQ(fragments.next_frame_size(), kMaxFrameSize);
  size_t offset;
  fragments.Next(offset);
  EXPECT_EQ(fragments.next_frame_size(), kHeaderSize + 4);
}

TEST(FragmenterTest, AStartedMessageCanBeGivenUp) {
  Fragmenter fragments(MessageHeader(), 20, kMaxFrameSize);
  EXPECT_FALSE(fragments.started());
  size_t offset;
  fragments.Next(offset);
  EXPECT_TRUE(fragments.started());
  const FrameHeader header = fragments.Abort();
  EXPECT_EQ(header.flags, kLast | kAborted);
  EXPECT_EQ(header.payload_size, 0u);
  EXPECT_EQ(header.message_size, 20u);
  EXPECT_TRUE(fragments.done());
}

}  // namespace
}  // namespace nearcall::wire
