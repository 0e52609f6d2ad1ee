// SPDX-License-Identifier: Apache-2.0
#include "session/inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "transport/loopback/loopback.h"
#include "unit/session/frames.h"

namespace nearcall::session {
namespace {

using ::testing::AllOf;
using testing::AsText;
using ::testing::HasSubstr;
using testing::Header;
using Event = Inbox::Event;

constexpr uint32_t kPeer = 5;
constexpr size_t kMaxMessage = 10;

class InboxTest : public ::testing::Test {
 protected:
  InboxTest() {
    transport::TransportPair pair = *transport::MakeLoopbackPair({.capacity_bytes = 1024, .max_frame_size = 128});
    peer_ = std::move(pair.client);
    own_ = std::move(pair.server);
    inbox_ = std::make_unique<Inbox>(*own_, kPeer, kMaxMessage);
  }

  // The next frame of a message of `total` bytes, right in all respects unless `change` spoils it.
  template <typename Change>
  void Send(const std::string& payload, size_t total, int flags, Change&& change) {
    wire::FrameHeader header = Header(wire::FrameKind::kRequest, 9, 1);
    header.source_id = kPeer;
    header.sequence = ++sequence_;
    header.flags = static_cast<uint8_t>(flags);
    header.payload_size = static_cast<uint32_t>(payload.size());
    header.message_size = static_cast<uint32_t>(total);
    change(header);
    ASSERT_TRUE(testing::SendRaw(*peer_, header, payload));
  }

  void Send(const std::string& payload, size_t total, int flags) {
    Send(payload, total, flags, [](wire::FrameHeader&) {});
  }

  void SendWhole(const std::string& payload) { Send(payload, payload.size(), wire::kFirst | wire::kLast); }

  Event Next() { return inbox_->Next(message_); }
  std::string Text() { return AsText(message_.bytes.bytes()); }

  std::unique_ptr<transport::Transport> peer_;
  std::unique_ptr<transport::Transport> own_;
  std::unique_ptr<Inbox> inbox_;
  wire::Message message_;
  uint64_t sequence_ = 0;
};

TEST_F(InboxTest, NothingIsThereAtFirst) {
  EXPECT_EQ(Next(), Event::kEmpty);
  EXPECT_EQ(inbox_->frames_received(), 0u);
}

TEST_F(InboxTest, TakesWholeMessagesInOrder) {
  SendWhole("one");
  SendWhole("two");
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Text(), "one");
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Text(), "two");
  EXPECT_EQ(message_.header.call_id, 9u);
  EXPECT_EQ(Next(), Event::kEmpty);
  EXPECT_EQ(inbox_->frames_received(), 2u);
}

TEST_F(InboxTest, PutsAMessageTogether) {
  Send("abc", 8, wire::kFirst);
  Send("def", 8, 0);
  Send("gh", 8, wire::kLast);
  EXPECT_EQ(Next(), Event::kProgress);
  EXPECT_GE(inbox_->bytes_held(), 8u);
  EXPECT_EQ(Next(), Event::kProgress);
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Text(), "abcdefgh");
  EXPECT_EQ(inbox_->bytes_held(), 0u);
}

TEST_F(InboxTest, AnAbortedMessageIsForgotten) {
  Send("abc", 8, wire::kFirst);
  Send("", 8, wire::kLast | wire::kAborted);
  SendWhole("next");
  EXPECT_EQ(Next(), Event::kProgress);
  EXPECT_EQ(Next(), Event::kAborted) << "its receiver may have to answer it";
  EXPECT_EQ(message_.header.call_id, 9u);
  EXPECT_EQ(inbox_->bytes_held(), 0u);
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Text(), "next");
}

TEST_F(InboxTest, AMessageOverTheLimitIsToldOnceAndSkipped) {
  Send("abcdef", 11, wire::kFirst);
  Send("ghijk", 11, wire::kLast);
  SendWhole("next");
  EXPECT_EQ(Next(), Event::kTooLarge);
  EXPECT_EQ(message_.header.call_id, 9u);
  EXPECT_EQ(message_.header.message_size, 11u);
  EXPECT_EQ(Next(), Event::kProgress);
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Text(), "next");
}

TEST_F(InboxTest, ReleaseGivesTheRoomBack) {
  SendWhole("abc");
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_FALSE(peer_->PeerHasReadAll());
  inbox_->Release();
  EXPECT_TRUE(peer_->PeerHasReadAll());
}

// --- violations ---

TEST_F(InboxTest, AFrameShorterThanItsHeaderIsAViolation) {
  const std::span<std::byte> frame = peer_->Reserve(wire::kHeaderSize - 1, 0);
  std::fill(frame.begin(), frame.end(), std::byte{1});
  peer_->Commit();
  EXPECT_EQ(Next(), Event::kBroken);
  EXPECT_THAT(inbox_->error().message(), HasSubstr("55 B"));
}

TEST_F(InboxTest, AnImpossibleHeaderIsAViolation) {
  Send("a", 1, wire::kFirst | wire::kLast, [](wire::FrameHeader& header) { header.version = 9; });
  EXPECT_EQ(Next(), Event::kBroken);
  EXPECT_EQ(inbox_->error().code(), absl::StatusCode::kInternal);
}

TEST_F(InboxTest, AnotherSourceIsAViolation) {
  Send("a", 1, wire::kFirst | wire::kLast, [](wire::FrameHeader& header) { header.source_id = 6; });
  EXPECT_EQ(Next(), Event::kBroken);
  EXPECT_THAT(inbox_->error().message(), AllOf(HasSubstr("source 6"), HasSubstr("only 5")));
}

TEST_F(InboxTest, AGapInTheSequenceIsAViolation) {
  SendWhole("a");
  ++sequence_;
  SendWhole("b");
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Next(), Event::kBroken);
  EXPECT_THAT(inbox_->error().message(),
              AllOf(HasSubstr("lane 1"), HasSubstr("expected frame 2"), HasSubstr("received 3")));
}

TEST_F(InboxTest, ARepeatedFrameIsAViolation) {
  SendWhole("a");
  --sequence_;
  SendWhole("a");
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Next(), Event::kBroken);
}

TEST_F(InboxTest, AFragmentOutOfPlaceIsAViolation) {
  Send("abc", 8, wire::kLast);
  EXPECT_EQ(Next(), Event::kBroken);
  EXPECT_THAT(inbox_->error().message(), HasSubstr("fragment violation"));
}

TEST_F(InboxTest, WhatIsBrokenStaysBrokenForTheSameReason) {
  Send("abc", 8, wire::kLast);
  SendWhole("a");
  EXPECT_EQ(Next(), Event::kBroken);
  const absl::Status first = inbox_->error();
  EXPECT_EQ(Next(), Event::kBroken);
  EXPECT_EQ(inbox_->error(), first);
}

TEST_F(InboxTest, DescriptorsAreAViolationAsNobodyHasAskedForThem) {
  Send("one", 3, wire::kFirst | wire::kLast, [](wire::FrameHeader& header) { header.fd_count = 1; });
  EXPECT_EQ(Next(), Event::kBroken);
  EXPECT_THAT(inbox_->error().message(), ::testing::HasSubstr("a frame with 1 descriptors"));
}

}  // namespace
}  // namespace nearcall::session
