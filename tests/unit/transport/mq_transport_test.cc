// SPDX-License-Identifier: Apache-2.0

// What is special about message queues: lanes, room that is counted, and no bell.

#include "transport/mq/mq_transport.h"

#include <gtest/gtest.h>
#include <mqueue.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "transport/mq/mq_pair.h"

namespace nearcall::transport::mq {
namespace {

constexpr QueueSize kSize{.max_messages = 4, .message_size = 256};

class MqTransportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<TransportPair> pair = MakeMqPair(kSize);
    ASSERT_TRUE(pair.ok()) << pair.status();
    client_ = std::move(pair->client);
    server_ = std::move(pair->server);
  }

  static bool Send(Transport& from, const std::string& text, int lane) {
    const std::span<std::byte> room = from.Reserve(text.size(), lane);
    if (room.empty()) return false;
    from.Fill(room, std::as_bytes(std::span(text)));
    from.Commit();
    return true;
  }

  static std::string Receive(Transport& at) {
    size_t size = 0;
    if (at.Peek(size) != Transport::ReadState::kFrame) return "nothing";
    std::string text(size, '\0');
    at.CopyOut(0, std::as_writable_bytes(std::span(text)));
    at.Pop();
    at.Release();
    return text;
  }

  std::unique_ptr<Transport> client_;
  std::unique_ptr<Transport> server_;
};

TEST_F(MqTransportTest, AHigherLaneOvertakesWhatWaits) {
  ASSERT_TRUE(Send(*client_, "low", 0));
  ASSERT_TRUE(Send(*client_, "normal", 1));
  ASSERT_TRUE(Send(*client_, "urgent", 3));
  ASSERT_TRUE(Send(*client_, "high", 2));
  for (const char* text : {"urgent", "high", "normal", "low", "nothing"}) EXPECT_EQ(Receive(*server_), text);
}

TEST_F(MqTransportTest, ALaneKeepsItsOrder) {
  ASSERT_TRUE(Send(*client_, "1", 2));
  ASSERT_TRUE(Send(*client_, "other", 1));
  ASSERT_TRUE(Send(*client_, "2", 2));
  ASSERT_TRUE(Send(*client_, "3", 2));
  for (const char* text : {"1", "2", "3", "other"}) EXPECT_EQ(Receive(*server_), text);
}

TEST_F(MqTransportTest, AFrameThatWasLookedAtIsNotOvertaken) {
  ASSERT_TRUE(Send(*client_, "low", 0));
  size_t size = 0;
  ASSERT_EQ(server_->Peek(size), Transport::ReadState::kFrame);
  ASSERT_TRUE(Send(*client_, "urgent", 3));
  ASSERT_EQ(server_->Peek(size), Transport::ReadState::kFrame);
  EXPECT_EQ(size, 3U);
  EXPECT_EQ(Receive(*server_), "low");
  EXPECT_EQ(Receive(*server_), "urgent");
}

TEST_F(MqTransportTest, HasRoomForAsManyFramesAsTheQueueHasMessagesWhateverTheirSize) {
  for (const size_t size : {size_t{1}, size_t{256}}) {
    for (size_t i = 0; i < kSize.max_messages; ++i) ASSERT_TRUE(Send(*client_, std::string(size, 'x'), 1));
    EXPECT_FALSE(Send(*client_, "x", 3));
    EXPECT_EQ(Receive(*server_).size(), size);
    EXPECT_TRUE(Send(*client_, "x", 1)) << "one was read";
    EXPECT_FALSE(Send(*client_, "x", 1)) << "and no more";
    while (Receive(*server_) != "nothing") continue;
  }
}

TEST_F(MqTransportTest, TheLargestFrameIsAMessage) {
  EXPECT_EQ(client_->max_frame_size(), kSize.message_size);
  EXPECT_EQ(server_->max_frame_size(), kSize.message_size);
  EXPECT_EQ(server_->name(), "mq");
}

TEST_F(MqTransportTest, TheKernelWakesUnasked) {
  EXPECT_FALSE(client_->can_spin());
  EXPECT_FALSE(client_->Ring());
  EXPECT_FALSE(server_->Ring());
  ASSERT_FALSE(server_->Arm(Transport::kFrames, 0));
  ASSERT_TRUE(Send(*client_, "x", 1));
  EXPECT_FALSE(client_->Notify()) << "there is nothing to be done";
}

TEST_F(MqTransportTest, TheServerIsWaitedForInEpollAndTheClientWaits) {
  const Transport::WaitFds server = server_->wait_fds();
  EXPECT_EQ(server.bell, -1);
  EXPECT_NE(server.readable, -1);
  EXPECT_NE(server.writable, -1);
  const Transport::WaitFds client = client_->wait_fds();
  EXPECT_EQ(client.readable, -1);
  EXPECT_EQ(client.writable, -1);
  EXPECT_EQ(client.bell, -1);
}

TEST_F(MqTransportTest, WaitSleepsForWhatWasAskedFor) {
  ASSERT_TRUE(Send(*server_, "x", 1));
  // There is a frame, but only room is of interest; and room is not there.
  while (Send(*client_, "x", 1)) continue;
  ASSERT_FALSE(client_->Arm(Transport::kRoom, 1));
  const base::SteadyNs until = base::NowNs() + 2'000'000;
  client_->Wait(until);
  EXPECT_GE(base::NowNs(), until);
  client_->Disarm();
}

TEST_F(MqTransportTest, WhatWasReadButNotTakenCountsAsAFrame) {
  ASSERT_TRUE(Send(*client_, "x", 1));
  size_t size = 0;
  ASSERT_EQ(server_->Peek(size), Transport::ReadState::kFrame);
  EXPECT_TRUE(server_->Arm(Transport::kFrames, 0));
  server_->Pop();
  EXPECT_FALSE(server_->Arm(Transport::kFrames, 0));
}

TEST_F(MqTransportTest, AWriterWhoseReaderIsGoneFillsTheQueueAndNoMore) {
  client_.reset();
  for (size_t i = 0; i < kSize.max_messages; ++i) ASSERT_TRUE(Send(*server_, "x", 1));
  EXPECT_FALSE(Send(*server_, "x", 1));
  EXPECT_EQ(server_->error(), absl::OkStatus());
}

}  // namespace
}  // namespace nearcall::transport::mq
