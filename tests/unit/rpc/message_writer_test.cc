// SPDX-License-Identifier: Apache-2.0
#include "rpc/message_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/limits.h"
#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"

namespace nearcall::rpc {
namespace {

using session::testing::AsBytes;
using session::testing::Header;
using session::testing::TakeFrame;
using testing::Bytes;
using testing::MakeBytes;

// The writing end of a connection, and a client that reads when the test says so.
class MessageWriterTest : public ::testing::Test {
 protected:
  explicit MessageWriterTest(size_t max_frame_size = wire::kHeaderSize + 16, size_t frames = 2)
      : max_frame_size_(max_frame_size),
        link_(session::testing::MakeLink({.max_frame_size = max_frame_size, .capacity_frames = frames})),
        outbox_(*link_.server.transport, session::testing::kServerId),
        client_(std::move(link_.client)) {}

  void Write(uint64_t call_id, const std::string& envelope, const Bytes* reply) {
    wire::FrameHeader header = Header(wire::FrameKind::kReply, call_id, 1);
    header.envelope_size = static_cast<uint32_t>(envelope.size());
    if (!envelope.empty()) header.flags |= wire::kEnvelope;
    EXPECT_EQ(Written::kAll, WriteMessage(outbox_, max_frame_size_, header, AsBytes(envelope), reply,
                                          reply == nullptr ? 0 : reply->ByteSizeLong()));
  }

  // The next message, with room given back and used as it comes.
  std::optional<session::testing::Received> Receive() {
    std::optional<session::testing::Received> received;
    do {
      received = client_.Receive(base::NowNs());
    } while (!received && outbox_.Pump());
    return received;
  }

  void ExpectMessage(uint64_t call_id, const std::string& bytes) {
    const auto received = Receive();
    ASSERT_TRUE(received);
    EXPECT_EQ(received->header.call_id, call_id);
    EXPECT_EQ(received->payload, bytes);
  }

  const size_t max_frame_size_;
  session::testing::Link link_;
  session::Outbox outbox_;
  session::testing::ScriptedPeer client_;
};

TEST_F(MessageWriterTest, ASmallReplyIsWrittenInPlace) {
  const Bytes reply = MakeBytes("hello");
  Write(7, "ee", &reply);
  EXPECT_FALSE(outbox_.has_waiting());
  EXPECT_EQ(outbox_.frames_sent(), 1u);
  ExpectMessage(7, "ee" + reply.SerializeAsString());
}

TEST_F(MessageWriterTest, AReplyMayBeAnEnvelopeOnlyOrNothing) {
  Write(7, "envelope", nullptr);
  ExpectMessage(7, "envelope");
  Write(8, "", nullptr);
  ExpectMessage(8, "");
  const Bytes empty;
  Write(9, "", &empty);
  ExpectMessage(9, "");
}

TEST_F(MessageWriterTest, WithoutRoomASmallReplyIsKept) {
  const Bytes reply = MakeBytes("0123456789");
  for (uint64_t id = 1; id <= 3; ++id) Write(id, "", &reply);
  EXPECT_TRUE(outbox_.has_waiting());
  EXPECT_EQ(outbox_.held().kept(), reply.ByteSizeLong());
  for (uint64_t id = 1; id <= 3; ++id) ExpectMessage(id, reply.SerializeAsString());
  EXPECT_EQ(outbox_.held().kept(), 0u);
}

TEST_F(MessageWriterTest, OfALargeReplyOnlyWhatFindsNoRoomIsKept) {
  const Bytes reply = MakeBytes(std::string(100, 'r'));
  Write(7, "ee", &reply);
  EXPECT_EQ(outbox_.frames_sent(), 2u);
  EXPECT_EQ(outbox_.held().kept(), 2 + reply.ByteSizeLong() - 32);
  ExpectMessage(7, "ee" + reply.SerializeAsString());
  EXPECT_EQ(outbox_.held().kept(), 0u);
}

TEST_F(MessageWriterTest, ALargeReplyWithoutAnyRoomIsKeptWhole) {
  const Bytes small = MakeBytes("0123456789");
  const Bytes large = MakeBytes(std::string(100, 'r'));
  Write(1, "", &small);
  Write(2, "", &small);
  Write(3, "ee", &large);
  EXPECT_EQ(outbox_.held().kept(), 2 + large.ByteSizeLong());
  ExpectMessage(1, small.SerializeAsString());
  ExpectMessage(2, small.SerializeAsString());
  ExpectMessage(3, "ee" + large.SerializeAsString());
}

TEST_F(MessageWriterTest, EverySizeArrives) {
  for (size_t envelope = 0; envelope < 40; envelope += 3) {
    for (size_t size = 0; size < 80; ++size) {
      const std::string before(envelope, 'e');
      const Bytes reply = MakeBytes(std::string(size, 'r'));
      Write(size + 1, before, &reply);
      ExpectMessage(size + 1, before + reply.SerializeAsString());
    }
  }
}

TEST_F(MessageWriterTest, SmallRepliesPassALargeOneAndLargeOnesKeepTheirOrder) {
  const Bytes small = MakeBytes("s");
  const Bytes large = MakeBytes(std::string(100, 'r'));
  Write(1, "", &large);
  Write(2, "", &large);
  Write(3, "", &small);
  std::vector<uint64_t> order;
  while (const auto received = Receive()) order.push_back(received->header.call_id);
  EXPECT_THAT(order, ::testing::ElementsAre(3, 1, 2));
}

TEST_F(MessageWriterTest, AfterTheEndOfTheConnectionNothingIsKept) {
  const Bytes large = MakeBytes(std::string(100, 'r'));
  outbox_.Close();
  Write(1, "", &large);
  EXPECT_EQ(outbox_.held().kept(), 0u);
  EXPECT_FALSE(outbox_.has_waiting());
}

// One that another thread changes while it is serialised.
TEST_F(MessageWriterTest, AReplyOfAnotherSizeThanItSaidIsTakenBack) {
  for (const int wrong : {-20, +20}) {
    const Bytes reply = MakeBytes(std::string(100, 'r'));
    const size_t size = reply.ByteSizeLong() + static_cast<size_t>(wrong);
    EXPECT_EQ(WriteMessage(outbox_, max_frame_size_, Header(wire::FrameKind::kReply, 7, 1), {}, &reply, size),
              Written::kChanged);
    EXPECT_FALSE(Receive());
    EXPECT_EQ(outbox_.held().kept(), 0u);
    Write(8, "", &reply);
    ExpectMessage(8, reply.SerializeAsString());
  }
}

// Frames that are larger than what is serialised in place.
class MessageWriterLargeFrameTest : public MessageWriterTest {
 protected:
  MessageWriterLargeFrameTest() : MessageWriterTest(4 * base::kInPlaceMax, 4) {}
};

TEST_F(MessageWriterLargeFrameTest, AMessageOfOneFrameMayGoByThePrivateBufferToo) {
  for (const size_t size : {base::kInPlaceMax - 10, base::kInPlaceMax + 1, 4 * base::kInPlaceMax}) {
    const Bytes reply = MakeBytes(std::string(size, 'r'));
    Write(7, "ee", &reply);
    ExpectMessage(7, "ee" + reply.SerializeAsString());
  }
}

}  // namespace
}  // namespace nearcall::rpc
