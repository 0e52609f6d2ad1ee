// SPDX-License-Identifier: Apache-2.0

// A peer that does with its queues what it likes. It may spoil its connection and nothing else, and nobody ever waits
// for it.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mqueue.h>

#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "transport/mq/mq_offer.h"

namespace nearcall::transport::mq {
namespace {

using ::testing::HasSubstr;
using ReadState = Transport::ReadState;

constexpr QueueSize kSize{.max_messages = 4, .message_size = 256};

// The same queue with all rights, which the kernel grants to whoever holds an end.
base::Fd Reopen(const base::Fd& fd) {
  return base::Fd(::open(absl::StrCat("/proc/self/fd/", fd.get()).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

void Push(const base::Fd& queue, const std::string& bytes, unsigned priority) {
  ASSERT_EQ(::mq_send(queue.get(), bytes.data(), bytes.size(), priority), 0);
}

void FillQueue(const base::Fd& queue) {
  while (::mq_send(queue.get(), "x", 1, 0) == 0) continue;
}

bool Send(Transport& transport) {
  if (transport.Reserve(10, 1).empty()) return false;
  transport.Commit();
  return true;
}

std::string BrokenBy(Transport& transport) {
  size_t size = 0;
  EXPECT_EQ(transport.Peek(size), ReadState::kBroken);
  EXPECT_EQ(transport.error().code(), absl::StatusCode::kInternal);
  return std::string(transport.error().message());
}

// A server, and a client that is no runtime.
class MqHostileClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<TransportOffer>> offer = OfferMqOfSize(kSize);
    ASSERT_TRUE(offer.ok()) << offer.status();
    to_server_ = base::Duplicate((*offer)->fds()[0]);
    to_client_ = base::Duplicate((*offer)->fds()[1]);
    server_ = *(*offer)->Accept();
  }

  std::unique_ptr<Transport> server_;
  base::Fd to_server_;
  base::Fd to_client_;
};

TEST_F(MqHostileClientTest, AMessageWithoutBytesIsNoFrame) {
  Push(to_server_, "", 1);
  EXPECT_EQ(
      BrokenBy(*server_),
      "mq: the peer broke the protocol: a message of 0 B and priority 1, expected 1 to 256 B and priority 0 to 3");
}

TEST_F(MqHostileClientTest, APriorityThatIsNoLaneIsNoFrame) {
  Push(to_server_, "x", 4);
  EXPECT_THAT(BrokenBy(*server_), HasSubstr("a message of 1 B and priority 4, expected"));
}

TEST_F(MqHostileClientTest, TheHighestPriorityOfTheKernelIsNoLaneEither) {
  Push(to_server_, "x", 32767);
  EXPECT_THAT(BrokenBy(*server_), HasSubstr("priority 32767"));
}

TEST_F(MqHostileClientTest, LargerMessagesTheKernelRefuses) {
  EXPECT_EQ(::mq_send(to_server_.get(), std::string(257, 'x').data(), 257, 0), -1);
  EXPECT_EQ(::mq_send(to_server_.get(), "x", size_t{0xffffffff}, 0), -1);
  size_t size = 0;
  EXPECT_EQ(server_->Peek(size), ReadState::kEmpty);
}

TEST_F(MqHostileClientTest, ABrokenEndStaysBrokenAndDoesNotSleep) {
  Push(to_server_, "", 1);
  BrokenBy(*server_);
  EXPECT_TRUE(server_->Arm(Transport::kFrames, 0)) << "though the queue is empty";
  Push(to_server_, "good", 1);
  BrokenBy(*server_);
  EXPECT_FALSE(Send(*server_));
}

TEST_F(MqHostileClientTest, WhoWritesIntoTheQueueToItselfIsFoundOut) {
  ASSERT_FALSE(server_->Reserve(10, 1).empty());
  FillQueue(Reopen(to_client_));
  server_->Commit();
  EXPECT_THAT(BrokenBy(*server_), HasSubstr("expected room for 4 messages in the queue that only this side writes"));
}

TEST_F(MqHostileClientTest, AQueueThatTheClientFilledBeforehandHasNoRoom) {
  FillQueue(Reopen(to_client_));
  EXPECT_FALSE(Send(*server_));
  EXPECT_FALSE(server_->Arm(Transport::kRoom, 1));
}

TEST_F(MqHostileClientTest, WhoReadsAwayItsOwnRequestsLosesThemAndNothingElse) {
  Push(to_server_, "lost", 1);
  char message[256];
  ASSERT_EQ(::mq_receive(Reopen(to_server_).get(), message, sizeof(message), nullptr), 4);
  size_t size = 0;
  EXPECT_EQ(server_->Peek(size), ReadState::kEmpty);
  EXPECT_TRUE(Send(*server_));
}

TEST_F(MqHostileClientTest, ItsFlagsAreNotOurs) {
  ASSERT_EQ(::fcntl(to_server_.get(), F_SETFL, 0), 0);
  ASSERT_EQ(::fcntl(to_client_.get(), F_SETFL, 0), 0);
  for (const int fd : {server_->wait_fds().readable, server_->wait_fds().writable}) {
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  }
}

// Whatever it sends, this side takes frames of possible sizes or says that it is broken.
TEST_F(MqHostileClientTest, RandomMessagesDoNoHarm) {
  constexpr uint64_t kSeed = 3;
  for (uint64_t round = 0; round < 200; ++round) {
    SetUp();
    std::mt19937_64 random(kSeed + round);
    for (int i = 0; i < 50; ++i) {
      const std::string bytes(random() % 50 == 0 ? 0 : 1 + random() % 256, static_cast<char>(random()));
      ::mq_send(to_server_.get(), bytes.data(), bytes.size(), random() % 100 == 0 ? 4 : random() % 4);
      size_t size = 0;
      const ReadState state = server_->Peek(size);
      if (state == ReadState::kBroken) break;
      if (state != ReadState::kFrame) continue;
      ASSERT_TRUE(size >= 1 && size <= 256) << "seed " << kSeed + round;
      server_->Pop();
    }
  }
}

// A client, and a server that kept copies of the client's own file descriptions and makes them block.
class MqHostileServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    offer_ = *OfferMqOfSize(kSize);
    std::vector<base::Fd> fds;
    for (const int fd : offer_->fds()) fds.push_back(base::Duplicate(fd));
    client_ = *AttachMq(std::move(fds), offer_->geometry());
    for (const int fd : offer_->fds()) ASSERT_EQ(::fcntl(fd, F_SETFL, 0), 0);
  }

  std::unique_ptr<TransportOffer> offer_;
  std::unique_ptr<Transport> client_;
};

TEST_F(MqHostileServerTest, ReadingAnEmptyQueueDoesNotBlock) {
  size_t size = 0;
  EXPECT_EQ(client_->Peek(size), ReadState::kEmpty);
  EXPECT_EQ(client_->error(), absl::OkStatus());
}

TEST_F(MqHostileServerTest, WritingAFullQueueDoesNotBlock) {
  while (Send(*client_)) continue;
  EXPECT_FALSE(client_->Arm(Transport::kRoom, 1));
}

TEST_F(MqHostileServerTest, WritingAQueueThatBecameFullDoesNotBlock) {
  ASSERT_FALSE(client_->Reserve(10, 1).empty());
  FillQueue(Reopen(base::Duplicate(offer_->fds()[0])));
  client_->Commit();
  EXPECT_THAT(BrokenBy(*client_), HasSubstr("it is full"));
}

}  // namespace
}  // namespace nearcall::transport::mq
