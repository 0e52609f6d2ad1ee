// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "wire/fragmenter.h"
#include "wire/reassembler.h"
#include "wire/sequence.h"

// Fragmenter, sequence numbers and Reassembler against a model: random messages in random lanes, cut into tiny frames
// that are interleaved in every way that the rules allow, arrive whole, unchanged and in order.
namespace nearcall::wire {
namespace {

constexpr size_t kMaxFrameSize = 64;
constexpr size_t kLimit = 100;

struct Sent {
  uint64_t call_id;
  std::string bytes;
};

// What one side sends: per lane at most one message in parts, and any number of small ones between its parts.
class Sender {
 public:
  explicit Sender(std::mt19937_64& random) : random_(random) {}

  // The next frame, header and payload. What a receiver must make of it is noted in `expected`.
  std::vector<std::byte> NextFrame() {
    const size_t lane = Roll(base::kLanes);
    std::optional<Partial>& partial = partials_[lane];
    if (!partial) return Begin(lane);
    const size_t what = Roll(10);
    if (what == 0) return Abort(lane);
    return what < 4 ? Small(lane) : Go(lane);
  }

  // Ends what is in the middle of `lane`; empty if nothing is.
  std::vector<std::byte> Finish(size_t lane) { return partials_[lane] ? Go(lane) : std::vector<std::byte>(); }

  std::deque<Sent> expected;
  size_t too_large = 0;
  size_t aborted = 0;

 private:
  struct Partial {
    Fragmenter fragments;
    Sent message;
  };

  size_t Roll(size_t sides) { return random_() % sides; }

  Partial Make(size_t lane, size_t size) {
    Sent message{++last_call_, std::string(size, '\0')};
    std::generate(message.bytes.begin(), message.bytes.end(), [&] { return static_cast<char>(random_()); });
    const FrameHeader header = {.kind = FrameKind::kMessage,
                                .priority = static_cast<uint8_t>(lane),
                                .call_id = message.call_id,
                                .method_id = random_()};
    return {Fragmenter(header, size, kMaxFrameSize), std::move(message)};
  }

  std::vector<std::byte> Begin(size_t lane) {
    partials_[lane] = Make(lane, Roll(kLimit + 20));
    if (partials_[lane]->message.bytes.size() > kLimit) ++too_large;
    return Go(lane);
  }

  std::vector<std::byte> Go(size_t lane) {
    Partial& partial = *partials_[lane];
    std::vector<std::byte> frame = Write(partial);
    if (partial.fragments.done()) End(lane);
    return frame;
  }

  std::vector<std::byte> Small(size_t lane) {
    Partial whole = Make(lane, Roll(kMaxFrameSize - kHeaderSize + 1));
    std::vector<std::byte> frame = Write(whole);
    expected.push_back(std::move(whole.message));
    return frame;
  }

  std::vector<std::byte> Abort(size_t lane) {
    FrameHeader header = partials_[lane]->fragments.Abort();
    if (partials_[lane]->message.bytes.size() <= kLimit) ++aborted;
    partials_[lane].reset();
    header.sequence = counter_.Next(static_cast<int>(lane));
    std::vector<std::byte> frame(kHeaderSize);
    EncodeHeader(header, frame);
    return frame;
  }

  void End(size_t lane) {
    if (partials_[lane]->message.bytes.size() <= kLimit) expected.push_back(std::move(partials_[lane]->message));
    partials_[lane].reset();
  }

  std::vector<std::byte> Write(Partial& partial) {
    std::vector<std::byte> frame(partial.fragments.next_frame_size());
    size_t offset;
    FrameHeader header = partial.fragments.Next(offset);
    header.sequence = counter_.Next(header.priority);
    EncodeHeader(header, frame);
    std::memcpy(frame.data() + kHeaderSize, partial.message.bytes.data() + offset, header.payload_size);
    return frame;
  }

  std::mt19937_64& random_;
  uint64_t last_call_ = 0;
  SequenceCounter counter_;
  std::array<std::optional<Partial>, base::kLanes> partials_;
};

class Receiver {
 public:
  explicit Receiver(Sender& sender) : sender_(sender) {}

  void Take(std::span<const std::byte> frame) {
    ASSERT_LE(frame.size(), kMaxFrameSize);
    ASSERT_TRUE(DecodeHeader(frame, frame.size(), message_.header).ok());
    ASSERT_TRUE(checker_.Check(message_.header).ok());
    const auto result = reassembler_.Receive(message_.header, message_, [&](std::span<std::byte> to) {
      std::memcpy(to.data(), frame.data() + kHeaderSize, to.size());
    });
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_TRUE(reassembler_.CheckInvariants());
    too_large += *result == Reassembler::Result::kTooLarge;
    aborted += *result == Reassembler::Result::kAborted;
    if (*result == Reassembler::Result::kMessage) Compare();
  }

  size_t bytes_held() const { return reassembler_.bytes_held(); }

  size_t too_large = 0;
  size_t aborted = 0;

 private:
  void Compare() {
    ASSERT_FALSE(sender_.expected.empty());
    const Sent sent = std::move(sender_.expected.front());
    sender_.expected.pop_front();
    ASSERT_EQ(message_.header.call_id, sent.call_id);
    ASSERT_TRUE(std::ranges::equal(message_.bytes.bytes(), std::as_bytes(std::span(sent.bytes))));
  }

  Sender& sender_;
  SequenceChecker checker_;
  Reassembler reassembler_{kLimit};
  Message message_;
};

TEST(FragmentPropertyTest, EveryInterleavingArrivesWholeAndInOrder) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  Sender sender(random);
  Receiver receiver(sender);
  for (int i = 0; i < 20'000 && !::testing::Test::HasFailure(); ++i) receiver.Take(sender.NextFrame());
  for (size_t lane = 0; lane < base::kLanes;) {
    const std::vector<std::byte> frame = sender.Finish(lane);
    if (frame.empty()) {
      ++lane;
    } else {
      receiver.Take(frame);
    }
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_TRUE(sender.expected.empty());
  EXPECT_EQ(receiver.too_large, sender.too_large);
  EXPECT_EQ(receiver.aborted, sender.aborted);
  EXPECT_GT(receiver.aborted, 0u);
  EXPECT_EQ(receiver.bytes_held(), 0u);
}

// Frames that lie: a header changed at random ends in a violation or in a message, never in a crash or lost balance.
TEST(FragmentPropertyTest, ChangedFramesNeverBreakTheReceiver) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    Sender sender(random);
    Reassembler reassembler(kLimit);
    Message message;
    for (int i = 0; i < 100; ++i) {
      std::vector<std::byte> frame = sender.NextFrame();
      if (random() % 8 == 0) frame[random() % kHeaderSize] ^= std::byte{1} << (random() % 8);
      if (!DecodeHeader(frame, frame.size(), message.header).ok()) break;
      const auto result = reassembler.Receive(message.header, message, [&](std::span<std::byte> to) {
        ASSERT_EQ(to.size(), frame.size() - kHeaderSize);
        std::memcpy(to.data(), frame.data() + kHeaderSize, to.size());
      });
      if (!result.ok()) break;
      ASSERT_TRUE(reassembler.CheckInvariants());
    }
  }
}

}  // namespace
}  // namespace nearcall::wire
