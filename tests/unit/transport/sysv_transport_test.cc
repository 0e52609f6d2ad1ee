// SPDX-License-Identifier: Apache-2.0

// What only System V queues do; what all transports do stands in tests/conformance.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/msg.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "passed.h"
#include "sysv.h"
#include "transport/sysv/sysv_offer.h"

namespace nearcall::transport::sysv {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

class SysvTransportTest : public ::testing::Test {
 protected:
  SysvTransportTest() {
    const auto offer = *OfferSysv({}, Self());
    to_server_ = static_cast<QueueId>(offer->geometry()[0]);
    bell_ = base::Duplicate(offer->fds()[0]);
    client_ = *AttachSysv(Passed(*offer), offer->geometry(), Self());
    server_ = *offer->Accept();
  }

  // What the server says of its reading side.
  Transport::ReadState Look() {
    size_t size = 0;
    return server_->Peek(size);
  }

  testing::NameDirectory names_;
  QueueId to_server_ = kNoQueue;
  base::Fd bell_;  // of the queue to the server
  std::unique_ptr<Transport> client_;
  std::unique_ptr<Transport> server_;
};

TEST_F(SysvTransportTest, TheFirstMessageOfAnEmptyQueueRingsAndTheNextOnesDoNot) {
  ASSERT_TRUE(Send(*client_, "one"));
  EXPECT_EQ(Rings(bell_.get()), 0);
  client_->Notify();
  EXPECT_EQ(Rings(bell_.get()), 1);
  ASSERT_TRUE(Send(*client_, "two"));
  client_->Notify();
  EXPECT_EQ(Rings(bell_.get()), 1) << "the server will look again: it has not seen the queue empty";
  EXPECT_THAT(Receive(*server_), Optional(std::string("one")));
  EXPECT_THAT(Receive(*server_), Optional(std::string("two")));
  ASSERT_TRUE(Send(*client_, "three"));
  client_->Notify();
  EXPECT_EQ(Rings(bell_.get()), 2);
}

TEST_F(SysvTransportTest, SmallMessagesMakeNobodyRingForRoom) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Send(*client_, std::string(100, 'x')));
    client_->Notify();
    ASSERT_TRUE(Receive(*server_));
  }
  EXPECT_EQ(Rings(bell_.get()), 100) << "and nobody took them";
}

TEST_F(SysvTransportTest, WhoHasLookedIsNotWokenByWhatHeHasSeen) {
  ASSERT_TRUE(Send(*client_, "request"));
  client_->Notify();
  ASSERT_TRUE(Receive(*server_));
  EXPECT_FALSE(server_->Arm(Transport::kFrames, 0));
  EXPECT_EQ(Rings(bell_.get()), 0);
}

TEST_F(SysvTransportTest, ALowFrameIsOvertaken) {
  ASSERT_TRUE(Send(*client_, "low", 0));
  ASSERT_TRUE(Send(*client_, "urgent", 3));
  EXPECT_THAT(Receive(*server_), Optional(std::string("urgent")));
  EXPECT_THAT(Receive(*server_), Optional(std::string("low")));
}

// --- what somebody else does to the queues ---

TEST_F(SysvTransportTest, AQueueThatIsGoneIsEmptyFirstAndThenNamed) {
  RemoveQueue(to_server_);
  EXPECT_EQ(Look(), Transport::ReadState::kEmpty) << "the peer's end would be told";
  EXPECT_FALSE(Send(*client_, "request")) << "no room";
  const base::SteadyNs end = testing::Soon();
  while (Look() == Transport::ReadState::kEmpty && base::NowNs() < end) std::this_thread::yield();
  EXPECT_EQ(Look(), Transport::ReadState::kBroken);
  EXPECT_THAT(std::string(server_->error().message()), HasSubstr("ipcrm(1)"));
  EXPECT_TRUE(server_->Arm(Transport::kFrames, 0)) << "nobody sleeps on it";
}

TEST_F(SysvTransportTest, WhoeverSleepsLooksAgainWhenTheQueueIsGone) {
  RemoveQueue(to_server_);
  const base::SteadyNs end = testing::Soon();
  while (!server_->Arm(Transport::kFrames, 0) && base::NowNs() < end) std::this_thread::yield();
  EXPECT_EQ(Look(), Transport::ReadState::kBroken);
}

void SendRaw(QueueId queue, long type, size_t size) {  // NOLINT(google-runtime-int): msgop(2)
  std::vector<char> message(sizeof(type) + size);
  std::memcpy(message.data(), &type, sizeof(type));
  ASSERT_EQ(::msgsnd(queue, message.data(), size, IPC_NOWAIT), 0);
}

TEST_F(SysvTransportTest, AMessageThatIsNoFrameIsAViolation) {
  SendRaw(to_server_, 5, 10);
  EXPECT_EQ(Look(), Transport::ReadState::kBroken);
  EXPECT_THAT(std::string(server_->error().message()), HasSubstr("a message of 10 B and type 5, expected 1 to 4096 B"));
}

TEST_F(SysvTransportTest, AMessageWithoutBytesIsAViolation) {
  SendRaw(to_server_, 1, 0);
  EXPECT_EQ(Look(), Transport::ReadState::kBroken);
}

TEST_F(SysvTransportTest, AMessageThatIsTooLargeIsAViolation) {
  SendRaw(to_server_, 1, 4097);
  EXPECT_EQ(Look(), Transport::ReadState::kBroken);
  EXPECT_THAT(std::string(server_->error().message()), HasSubstr("a larger message than was agreed"));
}

// Somebody who writes into the queue of this side.
TEST_F(SysvTransportTest, RoomThatVanishesIsAViolation) {
  ASSERT_TRUE(Send(*client_, "request"));
  for (int i = 0; i < 3; ++i) SendRaw(to_server_, 1, 4096);
  SendRaw(to_server_, 1, 4000);
  EXPECT_TRUE(Send(*client_, std::string(300, 'x')));
  size_t size = 0;
  EXPECT_EQ(client_->Peek(size), Transport::ReadState::kBroken);
  EXPECT_THAT(std::string(client_->error().message()), HasSubstr("expected room for 300 B"));
}

// With more pages a byte in it would not stop who waits for room from being woken for ever.
TEST_F(SysvTransportTest, ABellThatWasEnlargedIsAViolation) {
  ASSERT_NE(::fcntl(bell_.get(), F_SETPIPE_SZ, 1 << 16), -1);
  while (Send(*client_, std::string(client_->max_frame_size(), 'x'))) {
  }
  for (int i = 0; i < 2000; ++i) EXPECT_TRUE(client_->Arm(Transport::kRoom, client_->max_frame_size()));
  EXPECT_THAT(std::string(client_->error().message()), HasSubstr("expected a pipe of one page"));
}

}  // namespace
}  // namespace nearcall::transport::sysv
