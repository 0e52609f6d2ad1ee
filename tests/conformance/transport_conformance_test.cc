// SPDX-License-Identifier: Apache-2.0

// What a transport is: the contract of transport/transport.h, rule by rule, for every transport and in both directions.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/limits.h"
#include "conformance/harness.h"
#include "support/temporary_directory.h"
#include "transport/transport_table.h"

namespace nearcall::transport::conformance {
namespace {

// What had wakened somebody would have done so by then.
constexpr int64_t kNotWokenNs = 5'000'000;

struct Case {
  Maker maker;
  bool client_writes;
};

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const Maker& maker : AllTransports()) {
    cases.push_back({maker, true});
    cases.push_back({maker, false});
  }
  return cases;
}

std::string NameOf(const Case& one) {
  return one.maker.name + (one.client_writes ? "_client_to_server" : "_server_to_client");
}

void PrintTo(const Case& one, std::ostream* out) {
  *out << NameOf(one);
}

class TransportContract : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    absl::StatusOr<TransportPair> pair = GetParam().maker.make();
    ASSERT_TRUE(pair.ok()) << pair.status();
    writer_ = std::move(GetParam().client_writes ? pair->client : pair->server);
    reader_ = std::move(GetParam().client_writes ? pair->server : pair->client);
    reader_sleep_ = std::make_unique<Sleeper>(*reader_);
    writer_sleep_ = std::make_unique<Sleeper>(*writer_);
  }

  Bytes Largest() const { return Pattern(writer_->max_frame_size(), 1); }

  // Sends frames of `size` until there is no room.
  size_t FillUp(size_t size) {
    size_t count = 0;
    while (TrySend(*writer_, Pattern(size, count))) ++count;
    return count;
  }

  // What was sent next. Nothing if all has been received.
  std::optional<Bytes> Receive() {
    std::optional<Bytes> frame;
    for (bool flushed = false; !frame && !flushed;) {
      flushed = writer_->Flush();
      frame = TryReceive(*reader_);
      reader_->Release();
    }
    return frame;
  }

  void ReceiveAll() {
    while (Receive()) {
    }
  }

  // The same, while the writer looks away.
  void ReceiveWhatIsThere() {
    while (TryReceive(*reader_)) {
    }
    reader_->Release();
  }

  void SendAndReceive(const Bytes& frame) {
    ASSERT_TRUE(TrySend(*writer_, frame)) << frame.size();
    ASSERT_EQ(Receive(), frame);
  }

  // Until the reader sees a frame.
  Transport::ReadState Peek(size_t& size) {
    Transport::ReadState state = Transport::ReadState::kEmpty;
    for (bool flushed = false; state == Transport::ReadState::kEmpty && !flushed;) {
      flushed = writer_->Flush();
      state = reader_->Peek(size);
    }
    return state;
  }

  nearcall::testing::NameDirectory names_;
  std::unique_ptr<Transport> writer_;
  std::unique_ptr<Transport> reader_;
  std::unique_ptr<Sleeper> reader_sleep_;
  std::unique_ptr<Sleeper> writer_sleep_;
};

INSTANTIATE_TEST_SUITE_P(All, TransportContract, ::testing::ValuesIn(AllCases()),
                         [](const auto& test) { return NameOf(test.param); });

TEST_P(TransportContract, Rule1FramesArriveOnceWholeAndInOrder) {
  for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(TrySend(*writer_, Pattern(100 + i, i)));
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(Receive(), Pattern(100 + i, i));
  EXPECT_EQ(Receive(), std::nullopt);
}

TEST_P(TransportContract, Rule1HoldsAcrossManyWraps) {
  constexpr uint64_t kSeed = 7;
  std::mt19937_64 random(kSeed);
  std::deque<Bytes> under_way;
  for (uint64_t i = 0; i < 3000; ++i) {
    Bytes frame = Pattern(1 + random() % writer_->max_frame_size(), i);
    while (!TrySend(*writer_, frame)) {
      ASSERT_FALSE(under_way.empty()) << "no room in an empty transport for " << frame.size() << ", seed " << kSeed;
      ASSERT_EQ(Receive(), under_way.front()) << "seed " << kSeed;
      under_way.pop_front();
    }
    under_way.push_back(std::move(frame));
  }
}

TEST_P(TransportContract, Rule1FramesArriveInOrderOfTheirLanesOnlyWhereLanesOvertake) {
  constexpr uint64_t kSeed = 11;
  std::mt19937_64 random(kSeed);
  struct Sent {
    int lane;
    Bytes frame;
  };
  std::vector<Sent> under_way;  // the oldest first
  const auto receive = [&] {
    auto next = under_way.begin();
    if (GetParam().maker.lanes == Maker::Lanes::kOvertake) {
      // The oldest of the highest lane.
      next = std::max_element(under_way.begin(), under_way.end(),
                              [](const Sent& a, const Sent& b) { return a.lane < b.lane; });
    }
    EXPECT_EQ(Receive(), next->frame) << "lane " << next->lane << ", seed " << kSeed;
    under_way.erase(next);
  };
  for (uint64_t i = 0; i < 2000 && !HasFailure(); ++i) {
    Sent next = {.lane = static_cast<int>(random() % base::kLanes), .frame = Pattern(1 + random() % 200, i)};
    while (!TrySend(*writer_, next.frame, next.lane)) {
      ASSERT_FALSE(under_way.empty()) << "no room in an empty transport";
      receive();
    }
    under_way.push_back(std::move(next));
    if (random() % 3 == 0) receive();
  }
  while (!under_way.empty() && !HasFailure()) receive();
}

TEST_P(TransportContract, Rule2EverySizeAroundABoundaryFitsAtEveryPlace) {
  const std::vector<size_t> sizes = BoundarySizes(*writer_);
  for (const size_t before : sizes) {
    for (const size_t size : sizes) {
      SendAndReceive(Pattern(before, size));
      SendAndReceive(Pattern(size, before));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(TransportContract, Rule2NothingIsVisibleBeforeCommit) {
  writer_->Fill(writer_->Reserve(64, 1), Pattern(64, 1));
  size_t size = 0;
  EXPECT_EQ(Peek(size), Transport::ReadState::kEmpty);
  writer_->Commit();
  EXPECT_EQ(Peek(size), Transport::ReadState::kFrame);
  EXPECT_EQ(size, 64U);
}

TEST_P(TransportContract, Rule2AFrameMayBeWrittenInPartsAndInPlace) {
  const Bytes frame = Largest();
  const std::span<std::byte> room = writer_->Reserve(frame.size(), 1);
  writer_->Fill(room.subspan(57), std::span(frame).subspan(57));
  std::copy_n(frame.begin(), 57, room.begin());
  writer_->Commit();
  EXPECT_EQ(Receive(), frame);
}

TEST_P(TransportContract, Rule3WithoutRoomReserveIsEmptyAndChangesNothing) {
  const size_t count = FillUp(100);
  ASSERT_GT(count, 2U);
  EXPECT_TRUE(writer_->Reserve(100, 1).empty());
  EXPECT_TRUE(writer_->Reserve(writer_->max_frame_size(), 1).empty());
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(Receive(), Pattern(100, i));
  EXPECT_EQ(Receive(), std::nullopt);
}

TEST_P(TransportContract, Rule3TheNextReserveDropsTheFirst) {
  writer_->Fill(writer_->Reserve(200, 1), Pattern(200, 1));
  ASSERT_TRUE(TrySend(*writer_, Pattern(50, 2)));
  EXPECT_EQ(Receive(), Pattern(50, 2));
  EXPECT_EQ(Receive(), std::nullopt);
}

TEST_P(TransportContract, Rule3RoomComesBackWithRelease) {
  FillUp(writer_->max_frame_size());
  const Bytes frame = Pattern(writer_->max_frame_size(), 99);
  EXPECT_FALSE(TrySend(*writer_, frame));
  ReceiveAll();
  EXPECT_TRUE(TrySend(*writer_, frame));
  EXPECT_EQ(Receive(), frame);
}

TEST_P(TransportContract, Rule4AFrameIsCopiedOutInAnyParts) {
  const Bytes frame = Largest();
  ASSERT_TRUE(TrySend(*writer_, frame));
  size_t size = 0;
  ASSERT_EQ(Peek(size), Transport::ReadState::kFrame);
  Bytes copy(size);
  for (size_t offset = size; offset > 0;) {
    const size_t part = std::min<size_t>(offset, 33);
    offset -= part;
    reader_->CopyOut(offset, std::span(copy).subspan(offset, part));
  }
  EXPECT_EQ(copy, frame);
}

TEST_P(TransportContract, Rule5PeekIsRepeatable) {
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  ASSERT_TRUE(TrySend(*writer_, Pattern(20, 2)));
  size_t size = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Peek(size), Transport::ReadState::kFrame);
    EXPECT_EQ(size, 10U);
  }
  EXPECT_EQ(Receive(), Pattern(10, 1));
  EXPECT_EQ(Receive(), Pattern(20, 2));
}

TEST_P(TransportContract, Rule6WhoArmsWithAFrameThereDoesNotSleep) {
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  EXPECT_TRUE(reader_sleep_->Arm(Transport::kFrames, 0));
  // It is not armed: nobody has to be woken.
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  EXPECT_FALSE(writer_->Notify());
}

TEST_P(TransportContract, Rule6AFrameThatWasLookedAtAndLeftCounts) {
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  size_t size = 0;
  ASSERT_EQ(Peek(size), Transport::ReadState::kFrame);
  EXPECT_TRUE(reader_sleep_->Arm(Transport::kFrames, 0));
}

TEST_P(TransportContract, Rule6WhoArmsWithRoomThereDoesNotSleep) {
  EXPECT_TRUE(writer_sleep_->Arm(Transport::kRoom, writer_->max_frame_size()));
  FillUp(writer_->max_frame_size());
  EXPECT_FALSE(writer_sleep_->Arm(Transport::kRoom, writer_->max_frame_size()));
  writer_->Disarm();
  ReceiveAll();
  EXPECT_TRUE(writer_sleep_->Arm(Transport::kRoom, writer_->max_frame_size()));
}

TEST_P(TransportContract, Rule6NotifyWakesASleeperOnceAndOnlyASleeper) {
  if (!writer_->can_spin()) GTEST_SKIP() << "the kernel wakes, and nobody has to say that he sleeps";
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  EXPECT_FALSE(writer_->Notify()) << "the reader is awake";
  ReceiveAll();
  ASSERT_FALSE(reader_sleep_->Arm(Transport::kFrames, 0));
  EXPECT_FALSE(writer_->Notify()) << "there is nothing new";
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  EXPECT_TRUE(writer_->Notify());
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  EXPECT_FALSE(writer_->Notify()) << "it is being woken";
  EXPECT_TRUE(reader_sleep_->Wait(base::kNever));
  reader_->Disarm();
}

TEST_P(TransportContract, Rule6EachSleepIsEndedAnew) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_FALSE(reader_sleep_->Arm(Transport::kFrames, 0));
    ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
    EXPECT_EQ(writer_->Notify(), writer_->can_spin()) << "or the kernel wakes it";
    EXPECT_TRUE(reader_sleep_->Wait(base::kNever));
    reader_->Disarm();
    ReceiveAll();
  }
}

TEST_P(TransportContract, Rule6ReleaseWakesAWriterThatWaitsForRoom) {
  FillUp(writer_->max_frame_size());
  ASSERT_FALSE(writer_sleep_->Arm(Transport::kRoom, writer_->max_frame_size()));
  ReceiveWhatIsThere();
  EXPECT_TRUE(writer_sleep_->Wait(base::kNever));
  writer_->Disarm();
  ReceiveAll();
  EXPECT_FALSE(writer_->Reserve(writer_->max_frame_size(), 1).empty());
}

TEST_P(TransportContract, Rule6WhoSleepsForRoomIsNotWokenForFrames) {
  FillUp(writer_->max_frame_size());
  ASSERT_FALSE(writer_sleep_->Arm(Transport::kRoom, writer_->max_frame_size()));
  ASSERT_TRUE(TrySend(*reader_, Pattern(10, 1)));
  EXPECT_FALSE(reader_->Notify());
  EXPECT_FALSE(writer_sleep_->Wait(base::NowNs() + kNotWokenNs)) << "by a frame";
  ReceiveWhatIsThere();
  EXPECT_TRUE(writer_sleep_->Wait(base::kNever)) << "by room";
  writer_->Disarm();
}

TEST_P(TransportContract, Rule6WhoSleepsForFramesIsNotWokenForRoom) {
  FillUp(writer_->max_frame_size());
  ASSERT_FALSE(writer_sleep_->Arm(Transport::kFrames, 0));
  ReceiveWhatIsThere();
  EXPECT_FALSE(writer_sleep_->Wait(base::NowNs() + kNotWokenNs)) << "by room";
  ASSERT_TRUE(TrySend(*reader_, Pattern(10, 1)));
  reader_->Notify();
  EXPECT_TRUE(writer_sleep_->Wait(base::kNever)) << "by a frame";
  writer_->Disarm();
}

TEST_P(TransportContract, Rule6RingWakesWithoutReason) {
  ASSERT_FALSE(reader_sleep_->Arm(Transport::kFrames, 0));
  if (!writer_->Ring()) GTEST_SKIP() << "this transport has no means to";
  EXPECT_TRUE(reader_sleep_->Wait(base::kNever));
  reader_->Disarm();
  EXPECT_EQ(Receive(), std::nullopt);
}

TEST_P(TransportContract, Rule6ASleepEndsInTime) {
  EXPECT_FALSE(reader_sleep_->Sleep(Transport::kFrames, 0, base::NowNs() + 2'000'000));
  EXPECT_FALSE(reader_sleep_->Sleep(Transport::kFrames, 0, base::NowNs()));
}

TEST_P(TransportContract, Rule6PeerHasReadAllAfterItsRelease) {
  EXPECT_TRUE(writer_->PeerHasReadAll());
  ASSERT_TRUE(TrySend(*writer_, Pattern(10, 1)));
  EXPECT_FALSE(writer_->PeerHasReadAll());
  ReceiveAll();
  EXPECT_TRUE(writer_->PeerHasReadAll());
}

TEST_P(TransportContract, Rule7AnHonestPeerBreaksNothing) {
  ASSERT_TRUE(TrySend(*writer_, Largest()));
  ReceiveAll();
  EXPECT_EQ(reader_->error(), absl::OkStatus());
  EXPECT_EQ(writer_->error(), absl::OkStatus());
}

TEST_P(TransportContract, Rule8TheDeathOfTheReaderIsHarmless) {
  ASSERT_TRUE(TrySend(*writer_, Largest()));
  reader_sleep_.reset();
  reader_.reset();
  FillUp(writer_->max_frame_size());
  writer_->Notify();
  writer_->Ring();
  EXPECT_FALSE(writer_->PeerHasReadAll());
  const bool woken = writer_sleep_->Sleep(Transport::kRoom, writer_->max_frame_size(), base::NowNs() + 1'000'000);
  EXPECT_TRUE(!woken || GetParam().maker.death == Maker::Death::kWakes);
  EXPECT_TRUE(writer_->Reserve(writer_->max_frame_size(), 0).empty());
}

TEST_P(TransportContract, Rule8WhatADeadWriterHadHandedOverIsStillRead) {
  const Bytes frame = Pattern(std::min<size_t>(writer_->max_frame_size(), 1000), 1);
  ASSERT_TRUE(TrySend(*writer_, frame));
  ASSERT_TRUE(writer_->Flush());
  writer_sleep_.reset();
  writer_.reset();
  EXPECT_EQ(TryReceive(*reader_), frame);
  reader_->Release();
  const bool woken = reader_sleep_->Sleep(Transport::kFrames, 0, base::NowNs() + 1'000'000);
  EXPECT_TRUE(!woken || GetParam().maker.death == Maker::Death::kWakes);
  EXPECT_EQ(TryReceive(*reader_), std::nullopt);
  EXPECT_EQ(reader_->error(), absl::OkStatus());
}

TEST(TransportTable, HasEachTransportOnceUnderItsNameAndBit) {
  uint32_t bits = 0;
  for (const TransportRow& row : Transports()) {
    EXPECT_EQ(FindTransport(row.name), &row) << "or its name is there twice: " << row.name;
    ASSERT_LT(row.bit, 32) << "the hello's set has 32 bits";
    EXPECT_EQ(bits & (1U << row.bit), 0U) << row.name;
    bits |= 1U << row.bit;
  }
  EXPECT_NE(bits, 0U);
  EXPECT_EQ(FindTransport("loopback"), nullptr);
  EXPECT_EQ(FindTransport(""), nullptr);
}

// Both sides may be of different versions.
TEST(TransportTable, BitsThatWereGivenOutStay) {
  int bit = 0;
  for (const char* name : {"shm", "mq", "pipe", "sysv", "fifo"}) {
    ASSERT_NE(FindTransport(name), nullptr) << name;
    EXPECT_EQ(FindTransport(name)->bit, bit++) << name;
  }
}

}  // namespace
}  // namespace nearcall::transport::conformance
