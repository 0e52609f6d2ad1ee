// SPDX-License-Identifier: Apache-2.0
#include "session/relay.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <string>

#include "unit/session/frames.h"
#include "unit/session/link.h"

namespace nearcall::session {
namespace {

using transport::Transport;

class RelayTest : public ::testing::Test {
 protected:
  RelayTest() : outbox_(*link_.client.transport, 1), relay_(*link_.client.transport, outbox_, [this] { ++wanted_; }) {
    EXPECT_TRUE(relay_.Open().ok());
  }

  void Push(uint64_t call_id, Inbox::Event event = Inbox::Event::kMessage) {
    wire::Message message;
    message.header = testing::Header(wire::FrameKind::kRequest, call_id, 1);
    message.bytes.Resize(3);
    relay_.Push(event, message);
    EXPECT_EQ(message.bytes.size(), 0u) << "it was moved";
  }

  // An edge, as epoll sees it: nobody reads the bell.
  bool HasRung() {
    pollfd bell = {.fd = relay_.wait_fds().bell, .events = POLLIN, .revents = 0};
    return ::poll(&bell, 1, 0) == 1;
  }

  // The transport is full, and one message waits for room.
  void LetOneWait() {
    for (int i = 0; i < 3; ++i) {
      outbox_.Keep(testing::Kept(testing::Header(wire::FrameKind::kRequest, 1, 1), "x",
                                 link_.client.transport->max_frame_size()));
    }
    outbox_.Pump();
    ASSERT_TRUE(outbox_.has_waiting());
  }

  testing::Link link_ = testing::MakeLink();
  Outbox outbox_;
  int wanted_ = 0;
  Relay relay_;
};

TEST_F(RelayTest, GivesInTheOrderOfTaking) {
  size_t size;
  EXPECT_EQ(relay_.Peek(size), Transport::ReadState::kEmpty);
  Push(1);
  Push(2, Inbox::Event::kAborted);
  EXPECT_EQ(relay_.size(), 2u);
  EXPECT_EQ(relay_.Peek(size), Transport::ReadState::kFrame);
  wire::Message message;
  EXPECT_EQ(relay_.Take(message), Inbox::Event::kMessage);
  EXPECT_EQ(message.header.call_id, 1u);
  EXPECT_EQ(message.bytes.size(), 3u);
  EXPECT_EQ(relay_.Take(message), Inbox::Event::kAborted);
  EXPECT_EQ(message.header.call_id, 2u);
  EXPECT_EQ(relay_.Take(message), Inbox::Event::kEmpty);
}

TEST_F(RelayTest, RingsOnlyWhoHasAsked) {
  Push(1);
  EXPECT_FALSE(HasRung());
  EXPECT_TRUE(relay_.Arm(Transport::kFrames, 0)) << "there is one already";
  wire::Message message;
  relay_.Take(message);
  EXPECT_FALSE(relay_.Arm(Transport::kFrames, 0));
  relay_.TellRoom();
  EXPECT_FALSE(HasRung()) << "room was not asked for";
  Push(2);
  EXPECT_TRUE(HasRung());
}

TEST_F(RelayTest, WhoHasGoneOnIsNotRung) {
  EXPECT_FALSE(relay_.Arm(Transport::kFrames, 0));
  relay_.Disarm();
  Push(1);
  EXPECT_FALSE(HasRung());
}

TEST_F(RelayTest, WhoWaitsForRoomHasItMade) {
  LetOneWait();
  EXPECT_FALSE(relay_.Arm(Transport::kRoom, 10));
  EXPECT_EQ(wanted_, 1);
  relay_.TellRoom();
  EXPECT_TRUE(HasRung());
}

TEST_F(RelayTest, NobodyWaitsForRoomWhereNothingWaits) {
  EXPECT_TRUE(relay_.Arm(Transport::kRoom, 10));
  relay_.TellRoom();
  EXPECT_FALSE(HasRung());
}

}  // namespace
}  // namespace nearcall::session
