// SPDX-License-Identifier: Apache-2.0
#include "session/letterbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "session/inbox.h"
#include "session/outbox.h"
#include "transport/loopback/loopback.h"
#include "unit/session/frames.h"

namespace nearcall::session {
namespace {

using testing::AsText;
using ::testing::HasSubstr;
using testing::Header;
using Event = Inbox::Event;

constexpr uint32_t kPeer = 5;
constexpr size_t kMaxFrame = wire::kHeaderSize + 8;

// Both ends of a connection that carries descriptors: an outbox, and an inbox with its letterbox.
class LetterboxTest : public ::testing::Test {
 protected:
  LetterboxTest() {
    transport::TransportPair pair =
        *transport::MakeLoopbackPair({.capacity_bytes = 64 * kMaxFrame, .max_frame_size = kMaxFrame});
    theirs_ = std::move(pair.client);
    own_ = std::move(pair.server);
    auto ends = *transport::SideSocket::MakePair(/*takes=*/true);
    side_ = std::make_unique<transport::SideSocket>(std::move(ends.first), false);
    peer_side_ = std::make_unique<transport::SideSocket>(std::move(ends.second), true);
    letterbox_ = std::make_unique<Letterbox>(*side_, 3, nullptr);
    inbox_ = std::make_unique<Inbox>(*own_, kPeer, 100, nullptr, letterbox_.get());
    outbox_ = std::make_unique<Outbox>(*theirs_, kPeer, nullptr, peer_side_.get());
  }

  wire::FrameHeader Request(uint64_t call, size_t count, size_t lane = 1) {
    wire::FrameHeader header = Header(wire::FrameKind::kRequest, call, lane);
    header.flags = wire::kEnd;
    header.fd_count = static_cast<uint8_t>(count);
    return header;
  }

  // By the outbox, as it should be.
  std::unique_ptr<Outgoing> Message(uint64_t call, size_t count, const std::string& text = "x", size_t lane = 1) {
    auto message = testing::Kept(Request(call, count, lane), text, kMaxFrame);
    message->descriptors = std::span(fds_).first(count);
    return message;
  }
  void Send(uint64_t call, size_t count, const std::string& text = "x", size_t lane = 1) {
    outbox_->Keep(Message(call, count, text, lane));
  }

  // Past it.
  void SendLetter(uint64_t sequence, uint8_t count, uint8_t lane = 1, uint64_t call = 9) {
    ASSERT_TRUE(peer_side_->Send({.lane = lane, .count = count, .sequence = sequence, .call_id = call},
                                 std::span(fds_).first(count)));
  }
  void SendFrame(uint64_t sequence, size_t count, size_t lane = 1) {
    wire::FrameHeader header = Request(9, count, lane);
    header.flags |= wire::kFirst | wire::kLast;
    header.source_id = kPeer;
    header.sequence = sequence;
    ASSERT_TRUE(testing::SendRaw(*theirs_, header, ""));
  }

  Event Next() { return inbox_->Next(message_); }
  size_t Came() const { return message_.descriptors.fds().size(); }
  void ExpectBroken(absl::string_view part) {
    EXPECT_EQ(Next(), Event::kBroken);
    EXPECT_THAT(inbox_->error().message(), HasSubstr(part));
  }

  const base::Fd memory_{::memfd_create("test", MFD_CLOEXEC)};
  const std::array<int, 3> fds_ = {memory_.get(), memory_.get(), memory_.get()};
  std::unique_ptr<transport::Transport> theirs_;
  std::unique_ptr<transport::Transport> own_;
  std::unique_ptr<transport::SideSocket> side_;
  std::unique_ptr<transport::SideSocket> peer_side_;
  std::unique_ptr<Letterbox> letterbox_;
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<Outbox> outbox_;
  wire::Message message_;
};

TEST_F(LetterboxTest, EachMessageGetsItsOwn) {
  Send(1, 2);
  Send(2, 0);
  Send(3, 1);
  for (const size_t count : {2u, 0u, 1u}) {
    EXPECT_EQ(Next(), Event::kMessage);
    EXPECT_EQ(Came(), count);
  }
  EXPECT_EQ(Next(), Event::kEmpty);
  EXPECT_EQ(letterbox_->kept(), 0u);
}

TEST_F(LetterboxTest, OneInPartsGetsThemAtItsEnd) {
  Send(1, 2, "three frames of it");
  Send(2, 1);
  EXPECT_EQ(Next(), Event::kProgress);
  // A small one between its parts, with its own.
  std::vector<std::pair<uint64_t, size_t>> came;
  for (Event event = Next(); event != Event::kEmpty; event = Next()) {
    ASSERT_NE(event, Event::kBroken) << inbox_->error();
    if (event == Event::kMessage) came.emplace_back(message_.header.call_id, Came());
  }
  EXPECT_THAT(came, ::testing::UnorderedElementsAre(std::pair(1u, 2u), std::pair(2u, 1u)));
}

TEST_F(LetterboxTest, WhatIsGivenUpOrTooLargeIsClosed) {
  Send(1, 1, std::string(101, 'x'));
  EXPECT_EQ(Next(), Event::kTooLarge);
  EXPECT_EQ(Came(), 0u);
  while (Next() == Event::kProgress) continue;
  auto message = std::make_unique<Outgoing>(Request(2, 2), 30, kMaxFrame);
  message->descriptors = std::span(fds_).first(2);
  const std::string piece = "12345678";
  message->piece = testing::AsBytes(piece);
  EXPECT_TRUE(outbox_->TryOffer(*message));
  outbox_->Withdraw(*message);
  EXPECT_EQ(Next(), Event::kProgress);
  EXPECT_EQ(Next(), Event::kAborted);
  EXPECT_EQ(Came(), 0u);
  for (int i = 0; i < 2000 && letterbox_->budget()->held() != 0; ++i) ::poll(nullptr, 0, 1);
  EXPECT_EQ(letterbox_->budget()->held(), 0u);
  Send(3, 1);
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Came(), 1u);
}

// As of a message queue: the frame of the highest lane comes first.
TEST_F(LetterboxTest, LettersAreKeptForFramesThatAreOvertaken) {
  SendLetter(1, 1, 0);
  SendLetter(2, 2, 0);
  SendLetter(1, 3, 3);
  SendFrame(1, 3, 3);
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(Came(), 3u);
  EXPECT_EQ(letterbox_->kept(), 2u);
  SendFrame(1, 1, 0);
  SendFrame(2, 2, 0);
  for (const size_t count : {1u, 2u}) {
    EXPECT_EQ(Next(), Event::kMessage);
    EXPECT_EQ(Came(), count);
  }
  EXPECT_EQ(letterbox_->kept(), 0u);
}

TEST_F(LetterboxTest, MoreLettersThanAreKept) {
  for (uint64_t i = 1; i <= base::kMaxLettersKept; ++i) {
    SendLetter(i, 1, 0);
    if (i % 4 != 0) continue;
    // They are read with a frame of another lane.
    SendLetter(i / 4, 1, 2);
    SendFrame(i / 4, 1, 2);
    if (i < base::kMaxLettersKept) {
      EXPECT_EQ(Next(), Event::kMessage);
    }
  }
  ExpectBroken("there are 16 letters, and none of them is for it");
}

TEST_F(LetterboxTest, AFrameWithoutItsLetter) {
  SendFrame(1, 1);
  ExpectBroken("were not sent before it");
}

TEST_F(LetterboxTest, ALetterWithoutItsFrame) {
  SendLetter(1, 1);
  SendLetter(2, 1);
  SendFrame(1, 0);
  SendFrame(2, 1);
  EXPECT_EQ(Next(), Event::kMessage);
  ExpectBroken("a letter of the earlier frame 1");
}

TEST_F(LetterboxTest, ALetterWhoseFrameGoesByWithoutAny) {
  SendLetter(2, 1, 0);
  SendLetter(1, 1, 1);
  SendFrame(1, 1, 1);
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(letterbox_->kept(), 1u);
  SendFrame(1, 0, 0);
  EXPECT_EQ(Next(), Event::kMessage);
  SendFrame(2, 0, 0);
  ExpectBroken("a letter of the earlier frame 2");
}

TEST_F(LetterboxTest, ALetterThatComesTwice) {
  SendLetter(1, 1, 0);
  SendLetter(1, 1, 0);
  SendLetter(1, 1, 1);
  SendFrame(1, 1, 1);
  EXPECT_EQ(Next(), Event::kMessage);
  SendFrame(1, 1, 0);
  ExpectBroken("came twice");
}

TEST_F(LetterboxTest, ALetterOfAnotherCall) {
  SendLetter(1, 1, 1, 10);
  SendFrame(1, 1);
  ExpectBroken("its letter 1 of call 10");
}

TEST_F(LetterboxTest, ALetterOfAnotherCount) {
  SendLetter(1, 2);
  SendFrame(1, 1);
  ExpectBroken("it announces 1, its letter 2");
}

TEST_F(LetterboxTest, MoreThanWereGranted) {
  wire::FrameHeader header = Request(9, 4);
  header.flags |= wire::kFirst | wire::kLast;
  header.source_id = kPeer;
  header.sequence = 1;
  ASSERT_TRUE(testing::SendRaw(*theirs_, header, ""));
  ExpectBroken("it announces 4, granted were 3");
}

TEST_F(LetterboxTest, WithoutASideSocketNoneMayCome) {
  inbox_ = std::make_unique<Inbox>(*own_, kPeer, 100);
  SendLetter(1, 1);
  SendFrame(1, 1);
  ExpectBroken("which this connection does not carry");
}

// What the side socket has no room for waits as what the transport has none for, and nothing overtakes it in its lane.
TEST_F(LetterboxTest, AMessageWaitsForRoomOfItsLetter) {
  size_t sent = 0;
  while (!outbox_->has_waiting()) Send(++sent, 1);
  EXPECT_EQ(outbox_->RoomWanted(), 0u) << "the transport has room, and would wake who waits for it at once";
  EXPECT_FALSE(outbox_->TrySend(Request(100, 0), 0, [](std::span<std::byte>) {}));
  // Above it something goes all the same.
  EXPECT_TRUE(outbox_->TrySend(Request(101, 0, 2), 0, [](std::span<std::byte>) {}));
  for (size_t i = 1; i < sent; ++i) {
    EXPECT_EQ(Next(), Event::kMessage);
    EXPECT_EQ(message_.header.call_id, i);
    EXPECT_EQ(Came(), 1u);
  }
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(message_.header.call_id, 101u);
  EXPECT_EQ(outbox_->Pump(), Outbox::kSent);
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(message_.header.call_id, sent);
  EXPECT_EQ(Came(), 1u);
}

TEST_F(LetterboxTest, OneThatWaitsKeepsTheNextRoomOfTheTransport) {
  while (outbox_->TrySend(Request(1, 0), 0, [](std::span<std::byte>) {})) continue;
  Send(2, 1);
  EXPECT_EQ(outbox_->RoomWanted(), kMaxFrame);
}

TEST_F(LetterboxTest, LostOnesAreToldToWhomTheyWereFor) {
  auto message = testing::Kept(Request(1, 2), "x", kMaxFrame);
  outbox_->Keep(std::move(message));
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_FALSE(message_.descriptors.refusal().ok());
  EXPECT_EQ(Came(), 0u);
}

TEST_F(LetterboxTest, WhatWasNotTakenIsClosedByTheNextMessage) {
  Send(1, 3);
  Send(2, 0);
  EXPECT_EQ(Next(), Event::kMessage);
  EXPECT_EQ(letterbox_->budget()->held(), 3u);
  EXPECT_EQ(Next(), Event::kMessage);
  for (int i = 0; i < 2000 && letterbox_->budget()->held() != 0; ++i) ::poll(nullptr, 0, 1);
  EXPECT_EQ(letterbox_->budget()->held(), 0u);
}

}  // namespace
}  // namespace nearcall::session
