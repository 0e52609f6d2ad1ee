// SPDX-License-Identifier: Apache-2.0

// A peer that writes what is no frame, takes what is not for it, and turns the pipes into other ones. It may spoil its
// connection; the sanitizers watch that it spoils nothing else.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "raw_pipe_client.h"
#include "transport/framing.h"

namespace nearcall::transport::pipe {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;
using ReadState = Transport::ReadState;

class PipeHostileTest : public ::testing::Test {
 protected:
  PipeHostileTest() : offer_(*OfferPipe({})), client_(*offer_), server_(*offer_->Accept()) {}

  ReadState Peek() {
    size_t size = 0;
    return server_->Peek(size);
  }

  void ExpectBroken(absl::string_view text) {
    EXPECT_EQ(Peek(), ReadState::kBroken);
    EXPECT_EQ(server_->error().code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(server_->error().message()), HasSubstr(std::string(text)));
    EXPECT_TRUE(server_->Arm(Transport::kFrames, 0)) << "it does not sleep";
    client_.WriteFrame("a good one");
    EXPECT_EQ(Peek(), ReadState::kBroken) << "for good";
  }

  std::unique_ptr<TransportOffer> offer_;
  RawClient client_;
  std::unique_ptr<Transport> server_;
};

TEST_F(PipeHostileTest, LengthsThatCannotBeBreak) {
  for (const uint32_t length : {0U, static_cast<uint32_t>(kMaxFrameSize) + 1, 1U << 31, ~0U}) {
    offer_ = *OfferPipe({});
    client_ = RawClient(*offer_);
    server_ = *offer_->Accept();
    client_.WriteLength(length);
    ExpectBroken(
        absl::StrCat("pipe: the peer broke the protocol: it sent a frame of ", length, " B, expected 1 to 16380"));
  }
}

TEST_F(PipeHostileTest, GoodFramesBeforeABadOneCount) {
  client_.WriteFrame("good");
  client_.WriteLength(0);
  EXPECT_THAT(Receive(*server_), Optional(std::string("good")));
  ExpectBroken("a frame of 0 B");
}

TEST_F(PipeHostileTest, ABadLengthThatIsReadAlreadyEndsASleep) {
  client_.WriteFrame("good");
  client_.WriteLength(0);
  ASSERT_EQ(Peek(), ReadState::kFrame);
  Receive(*server_);
  EXPECT_TRUE(server_->Arm(Transport::kFrames, 0));
}

TEST_F(PipeHostileTest, TheLargestFrameIsGood) {
  const std::string largest(kMaxFrameSize, 'x');
  client_.WriteFrame(largest);
  EXPECT_THAT(Receive(*server_), Optional(largest));
}

TEST_F(PipeHostileTest, AFrameThatNeverEndsIsNone) {
  client_.WriteLength(kMaxFrameSize);
  client_.Write("the rest does not come");
  client_.Die();
  EXPECT_EQ(Peek(), ReadState::kEmpty);
  EXPECT_FALSE(server_->Arm(Transport::kFrames, 0));
  EXPECT_EQ(server_->error(), absl::OkStatus());
}

TEST_F(PipeHostileTest, WhatIsMappedIntoThePipeCannotChangeOnceRead) {
  alignas(4096) static char page[4096] = "\4\0\0\0good";
  const iovec part{.iov_base = page, .iov_len = 8};
  ASSERT_EQ(::vmsplice(client_.requests(), &part, 1, SPLICE_F_NONBLOCK), 8);
  ASSERT_EQ(Peek(), ReadState::kFrame);
  std::fill(std::begin(page), std::end(page), '\xff');
  EXPECT_THAT(Receive(*server_), Optional(std::string("good")));
}

TEST_F(PipeHostileTest, PacketsAreBytes) {
  ASSERT_EQ(::fcntl(client_.requests(), F_SETFL, O_DIRECT | O_NONBLOCK), 0);
  client_.WriteFrame("a");
  client_.WriteFrame("b");
  std::string got;
  for (int i = 0; i < 10 && got.size() < 2; ++i) got += Receive(*server_).value_or("");
  EXPECT_EQ(got, "ab");
}

TEST_F(PipeHostileTest, WhoTakesHisOwnRequestsAwayHasSentNone) {
  const base::Fd both(::open(absl::StrCat("/proc/self/fd/", client_.requests()).c_str(), O_RDWR | O_CLOEXEC));
  client_.WriteFrame("request");
  std::string stolen(11, '\0');
  ASSERT_EQ(::read(both.get(), stolen.data(), stolen.size()), 11);
  EXPECT_EQ(Peek(), ReadState::kEmpty);
  EXPECT_FALSE(server_->Arm(Transport::kFrames, 0));
}

TEST_F(PipeHostileTest, PipesThatShrinkAndGrowCarryAllTheSame) {
  constexpr uint64_t kSeed = 3;
  std::mt19937_64 random(kSeed);
  std::string sent;
  std::string received;
  for (int i = 0; i < 500; ++i) {
    client_.SetPipeSize(4096 << random() % 5);
    const std::string frame(1 + random() % kMaxFrameSize, static_cast<char>('a' + i % 26));
    if (Commit(*server_, frame)) {
      const auto length = static_cast<uint32_t>(frame.size());
      sent += std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + frame;
    }
    server_->Flush();
    if (random() % 2 == 0) received += client_.Read();
  }
  while (!server_->Flush()) received += client_.Read();
  EXPECT_EQ(received + client_.Read(), sent) << "seed " << kSeed;
}

// One thing that a hostile client might do: mostly what gets past the first check, so that the next one is reached.
void Scribble(const RawClient& client, std::mt19937_64& random) {
  std::array<char, 512> bytes{};
  const size_t size = random() % 100 == 0 ? random() % bytes.size() : 0;
  const auto length = static_cast<uint32_t>(random() % 2000 == 0 ? random() : size == 0 ? 8 : size);
  std::memcpy(bytes.data(), &length, sizeof(length));
  // What the pipe does not take is lost.
  [[maybe_unused]] const ssize_t written = ::write(client.requests(), bytes.data(), 12);
  if (random() % 64 == 0) client.Read();
  if (random() % 64 == 0) client.SetPipeSize(4096 << random() % 3);
}

// Everything that a server does, once. False when the transport is broken.
bool UseOnce(Transport& transport, std::mt19937_64& random) {
  size_t size = 0;
  const ReadState state = transport.Peek(size);
  if (state == ReadState::kFrame) {
    EXPECT_GE(size, 1U);
    EXPECT_LE(size, transport.max_frame_size());
    Receive(transport);
    transport.Release();
  }
  Commit(transport, std::string(1 + random() % transport.max_frame_size(), 'x'));
  transport.Flush();
  transport.Notify();
  transport.PeerHasReadAll();
  if (!transport.Arm(Transport::kFrames | Transport::kRoom, 100)) transport.Disarm();
  return state != ReadState::kBroken;
}

TEST(PipeHostileClient, ThatScribblesBreaksItsOwnConnectionOnly) {
  constexpr uint64_t kSeed = 11;
  int used = 0;
  for (uint64_t round = 0; round < 30; ++round) {
    SCOPED_TRACE(::testing::Message() << "seed " << kSeed + round);
    const std::unique_ptr<TransportOffer> offer = *OfferPipe({});
    const RawClient client(*offer);
    const std::unique_ptr<Transport> server = *offer->Accept();
    std::atomic<bool> stop{false};
    std::thread scribbler([&] {
      std::mt19937_64 random(kSeed + round);
      while (!stop) Scribble(client, random);
    });
    std::mt19937_64 random(round);
    for (int i = 0; i < 2000 && UseOnce(*server, random); ++i) ++used;
    stop = true;
    scribbler.join();
  }
  EXPECT_GT(used, 1000) << "the scribbler was too coarse to test anything";
}

}  // namespace
}  // namespace nearcall::transport::pipe
