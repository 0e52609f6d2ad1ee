// SPDX-License-Identifier: Apache-2.0

// The ring by itself, in ordinary memory: what the bytes look like, and what a reader and a writer make of a peer that
// writes what it likes.

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "base/limits.h"
#include "transport/shm/record.h"
#include "transport/shm/ring_reader.h"
#include "transport/shm/ring_writer.h"
#include "transport/shm/streaming_copy.h"

namespace nearcall::transport::shm {
namespace {

constexpr size_t kRing = base::kMinRingSize;
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// The two regions, with nothing around them: an access beyond the end is AddressSanitizer's.
class ShmRingTest : public ::testing::Test {
 protected:
  std::span<std::byte> ring() { return std::as_writable_bytes(std::span(ring_)); }

  void StoreRecord(size_t offset, uint64_t word) { ring_[offset / 8] = word; }
  uint64_t LoadRecord(size_t offset) const { return ring_[offset / 8]; }

  void Send(size_t size) {
    ASSERT_EQ(writer_.Reserve(size).size(), size);
    writer_.Commit();
  }

  void Receive(size_t expected) {
    size_t size = 0;
    ASSERT_EQ(reader_.Peek(size), Transport::ReadState::kFrame);
    ASSERT_EQ(size, expected);
    reader_.Pop();
    reader_.Release();
  }

  Transport::ReadState Peek() {
    size_t size = 0;
    return reader_.Peek(size);
  }

  // What the reader makes of one record at the start of the ring, of which `written` bytes are said to be there.
  Transport::ReadState PeekAt(uint64_t word, uint64_t written) {
    Fault fault{"shm"};
    RingReader reader(reader_page_, writer_page_, ring(), fault);
    StoreRecord(0, word);
    writer_page_.tail = written;
    size_t size = 0;
    const Transport::ReadState state = reader.Peek(size);
    EXPECT_EQ(fault.found(), state == Transport::ReadState::kBroken);
    return state;
  }

  std::vector<uint64_t> ring_ = std::vector<uint64_t>(kRing / 8);
  ControlPage writer_page_{};
  ControlPage reader_page_{};
  Fault fault_{"shm"};
  RingWriter writer_{writer_page_, reader_page_, ring(), fault_};
  RingReader reader_{reader_page_, writer_page_, ring(), fault_};
};

TEST_F(ShmRingTest, ARecordIsSizeKindAndFrameOnLinesOfItsOwn) {
  const std::span<std::byte> frame = writer_.Reserve(57);
  EXPECT_EQ(frame.data(), ring().data() + 8);
  frame[0] = std::byte{0xab};
  writer_.Commit();
  EXPECT_EQ(LoadRecord(0), 0x00000001'00000039U);
  EXPECT_EQ(std::to_integer<int>(ring()[8]), 0xab);
  EXPECT_EQ(writer_page_.tail, 128U);
  EXPECT_EQ(writer_.Reserve(56).data(), ring().data() + 128 + 8);
  writer_.Commit();
  EXPECT_EQ(writer_page_.tail, 192U);
}

TEST_F(ShmRingTest, PaddingFillsTheEndWhereAFrameWouldStraddleIt) {
  const size_t max = MaxFrameSize(kRing);
  EXPECT_EQ(max, kRing / 4 - 8);
  for (int i = 0; i < 3; ++i) Send(max);
  Send(500);
  for (int i = 0; i < 3; ++i) Receive(max);
  Receive(500);
  ASSERT_EQ(writer_page_.tail, 3584U);
  Send(505);
  EXPECT_EQ(LoadRecord(3584), 0x00000002'000001f8U);
  EXPECT_EQ(LoadRecord(0), 0x00000001'000001f9U);
  EXPECT_EQ(writer_page_.tail, kRing + 576);
  Receive(505);
  EXPECT_EQ(reader_page_.head, kRing + 576);
}

TEST_F(ShmRingTest, AFrameThatEndsWithTheRingNeedsNoPadding) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) Send(MaxFrameSize(kRing));
    EXPECT_TRUE(writer_.Reserve(1).empty());
    for (int i = 0; i < 4; ++i) Receive(MaxFrameSize(kRing));
  }
  EXPECT_EQ(writer_page_.tail, 3 * kRing);
}

TEST_F(ShmRingTest, NothingOfTheOwnPageIsReadBack) {
  Send(100);
  writer_page_.head = kMax;
  Send(100);
  // The reader's own head, as it stands in shared memory, is of no interest to the reader.
  reader_page_.tail = 12345;
  Receive(100);
  reader_page_.head = 12345;
  Receive(100);
  EXPECT_EQ(reader_page_.head, 256U);
  writer_page_.tail = 0;
  Send(100);
  EXPECT_EQ(writer_page_.tail, 384U);
}

TEST_F(ShmRingTest, ATailThatCannotBeBreaksTheReader) {
  Send(100);
  Receive(100);
  // Wherever it points to: there would be a frame.
  for (size_t offset = 128; offset < kRing; offset += 64) {
    StoreRecord(offset, RecordPrefix::ToWord(1, RecordKind::kFrame));
  }
  for (const uint64_t tail :
       {uint64_t{0}, uint64_t{64}, uint64_t{127}, uint64_t{129}, uint64_t{193}, 128 + kRing + 64, 128 + kRing + 1,
        uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 63, kMax, kMax - 63}) {
    Fault fault{"shm"};
    RingReader reader(reader_page_, writer_page_, ring(), fault);
    writer_page_.tail = 128;
    size_t size = 0;
    ASSERT_EQ(reader.Peek(size), Transport::ReadState::kFrame);
    reader.Pop();
    writer_page_.tail = tail;
    EXPECT_EQ(reader.Peek(size), Transport::ReadState::kBroken) << tail;
    EXPECT_TRUE(reader.HasFrame()) << "nobody sleeps on a broken ring";
    EXPECT_EQ(fault.error().code(), absl::StatusCode::kInternal);
  }
}

TEST_F(ShmRingTest, AFullRingIsNotTooMuch) {
  StoreRecord(0, RecordPrefix::ToWord(1, RecordKind::kFrame));
  writer_page_.tail = kRing;
  EXPECT_EQ(Peek(), Transport::ReadState::kFrame);
}

TEST_F(ShmRingTest, ATailThatGoesBackBreaksTheReader) {
  for (int i = 0; i < 2; ++i) StoreRecord(static_cast<size_t>(i) * 64, RecordPrefix::ToWord(1, RecordKind::kFrame));
  writer_page_.tail = 128;
  Receive(1);
  Receive(1);
  writer_page_.tail = 64;
  EXPECT_EQ(Peek(), Transport::ReadState::kBroken);
}

TEST_F(ShmRingTest, WhatIsBrokenStaysBrokenWithTheFirstReason) {
  writer_page_.tail = 63;
  EXPECT_EQ(Peek(), Transport::ReadState::kBroken);
  const absl::Status first = fault_.error();
  EXPECT_NE(std::string(first.message()).find("its tail is 63, expected a multiple of 64 from 0 to 4096"),
            std::string::npos)
      << first;
  writer_page_.tail = 0;
  EXPECT_EQ(Peek(), Transport::ReadState::kBroken);
  fault_.Report("another one");
  EXPECT_EQ(fault_.error(), first);
}

TEST_F(ShmRingTest, AHeadThatCannotBeBreaksTheWriter) {
  for (const uint64_t head : {uint64_t{1}, uint64_t{127}, kRing + 64, kRing + 1, uint64_t{1} << 31, uint64_t{1} << 32,
                              uint64_t{1} << 63, kMax, kMax - 63}) {
    Fault fault{"shm"};
    RingWriter writer(writer_page_, reader_page_, ring(), fault);
    reader_page_.head = 0;
    for (int i = 0; i < 4; ++i) {
      ASSERT_FALSE(writer.Reserve(MaxFrameSize(kRing)).empty());
      writer.Commit();
    }
    reader_page_.head = head;
    EXPECT_TRUE(writer.Reserve(1).empty()) << head;
    EXPECT_TRUE(fault.found()) << head;
  }
}

TEST_F(ShmRingTest, AHeadThatGoesBackBreaksTheWriter) {
  for (int i = 0; i < 4; ++i) Send(MaxFrameSize(kRing));
  Receive(MaxFrameSize(kRing));
  Send(MaxFrameSize(kRing));
  reader_page_.head = 0;
  EXPECT_TRUE(writer_.Reserve(1).empty());
  EXPECT_EQ(fault_.error().code(), absl::StatusCode::kInternal);
}

// Not even as far as there was once room.
TEST_F(ShmRingTest, AHeadThatGoesBackALittleBreaksTheWriter) {
  const size_t max = MaxFrameSize(kRing);
  for (const size_t size : {size_t{500}, max, max, size_t{952}, size_t{500}}) Send(size);
  ASSERT_EQ(writer_page_.tail, 4032U);
  Receive(500);
  EXPECT_TRUE(writer_.Reserve(max).empty());
  EXPECT_FALSE(fault_.found());
  reader_page_.head = 0;
  EXPECT_TRUE(writer_.Reserve(max).empty());
  EXPECT_TRUE(fault_.found());
}

TEST_F(ShmRingTest, WhoWaitsForRoomDoesNotSleepOnAHeadThatCannotBe) {
  for (int i = 0; i < 4; ++i) Send(MaxFrameSize(kRing));
  EXPECT_FALSE(writer_.HasRoom(1));
  reader_page_.head = kMax - 63;
  EXPECT_TRUE(writer_.HasRoom(1));
  EXPECT_TRUE(writer_.Reserve(1).empty());
  EXPECT_TRUE(fault_.found());
}

TEST_F(ShmRingTest, OnlyAFrameThatFitsEverythingIsAFrame) {
  const uint64_t frame = static_cast<uint64_t>(RecordKind::kFrame) << 32;
  EXPECT_EQ(PeekAt(frame | 1, 64), Transport::ReadState::kFrame);
  EXPECT_EQ(PeekAt(frame | 56, 64), Transport::ReadState::kFrame);
  EXPECT_EQ(PeekAt(frame | 1016, kRing), Transport::ReadState::kFrame);
  EXPECT_EQ(PeekAt(frame | 0, 64), Transport::ReadState::kBroken) << "empty";
  EXPECT_EQ(PeekAt(frame | 57, 64), Transport::ReadState::kBroken) << "more than was written";
  EXPECT_EQ(PeekAt(frame | 1017, kRing), Transport::ReadState::kBroken) << "larger than the largest";
  for (const uint32_t size : {0x7fffffffU, 0x80000000U, 0xffffffffU, 0xfffffff8U, 0xffffffc0U}) {
    EXPECT_EQ(PeekAt(frame | size, kRing), Transport::ReadState::kBroken) << size;
  }
}

TEST_F(ShmRingTest, OnlyTheTwoKindsAreKinds) {
  for (const uint32_t kind : {0U, 3U, 4U, 0x101U, 0x10001U, 0x80000001U, 0xffffffffU}) {
    EXPECT_EQ(PeekAt(uint64_t{kind} << 32 | 8, 64), Transport::ReadState::kBroken) << kind;
  }
}

TEST_F(ShmRingTest, AFrameDoesNotStraddleTheEnd) {
  for (int i = 0; i < 3; ++i) Send(MaxFrameSize(kRing));
  Send(900);
  for (int i = 0; i < 3; ++i) Receive(MaxFrameSize(kRing));
  Receive(900);
  ASSERT_EQ(reader_page_.head, 4032U);
  StoreRecord(4032, RecordPrefix::ToWord(57, RecordKind::kFrame));
  writer_page_.tail = kRing + 64;
  EXPECT_EQ(Peek(), Transport::ReadState::kBroken);
}

TEST_F(ShmRingTest, PaddingIsExactlyTheRestOfTheRing) {
  const uint64_t padding = static_cast<uint64_t>(RecordKind::kPadding) << 32;
  for (const uint64_t size : {uint64_t{0}, uint64_t{56}, kRing - 8, uint64_t{0xffffffff}}) {
    EXPECT_EQ(PeekAt(padding | size, kRing), Transport::ReadState::kBroken) << size;
  }
  for (int i = 0; i < 3; ++i) Send(MaxFrameSize(kRing));
  Send(900);
  for (int i = 0; i < 3; ++i) Receive(MaxFrameSize(kRing));
  Receive(900);
  ASSERT_EQ(reader_page_.head, 4032U);
  StoreRecord(0, RecordPrefix::ToWord(1, RecordKind::kFrame));
  StoreRecord(4032, padding | 55);
  writer_page_.tail = kRing + 64;
  EXPECT_EQ(Peek(), Transport::ReadState::kBroken);
}

TEST_F(ShmRingTest, PaddingIsWithinWhatWasWritten) {
  for (const size_t size : {size_t{1016}, size_t{1016}, size_t{1016}, size_t{800}}) Send(size);
  for (const size_t size : {size_t{1016}, size_t{1016}, size_t{1016}, size_t{800}}) Receive(size);
  ASSERT_EQ(reader_page_.head, 3904U);
  StoreRecord(0, RecordPrefix::ToWord(1, RecordKind::kFrame));
  StoreRecord(3904, RecordPrefix::ToWord(192 - 8, RecordKind::kPadding));
  writer_page_.tail = 3904 + 64;
  EXPECT_EQ(Peek(), Transport::ReadState::kBroken);
}

TEST_F(ShmRingTest, EveryFlipOfOneOrTwoBitsIsAFrameThatFitsOrBreaks) {
  const uint64_t good = RecordPrefix::ToWord(100, RecordKind::kFrame);
  for (int first = 0; first < 64; ++first) {
    for (int second = first; second < 64; ++second) {
      const uint64_t word = good ^ (uint64_t{1} << first) ^ (first == second ? 0 : uint64_t{1} << second);
      const uint64_t size = word & 0xffffffff;
      const bool fits = word >> 32 == 1 && size >= 1 && size <= 120;
      EXPECT_EQ(PeekAt(word, 128), fits ? Transport::ReadState::kFrame : Transport::ReadState::kBroken) << word;
    }
  }
}

TEST_F(ShmRingTest, TheFrameIsTakenAsItWasWhenItWasChecked) {
  Send(100);
  size_t size = 0;
  ASSERT_EQ(reader_.Peek(size), Transport::ReadState::kFrame);
  StoreRecord(0, kMax);
  Receive(100);
  EXPECT_EQ(Peek(), Transport::ReadState::kEmpty);
}

TEST(StreamingCopyTest, CopiesEverySizeAtEveryAlignment) {
  std::vector<std::byte> from(600);
  std::mt19937 random(3);
  for (std::byte& byte : from) byte = static_cast<std::byte>(random());
  for (size_t to_offset = 0; to_offset < 64; to_offset += 3) {
    for (size_t size = 0; size < 300; size += 7) {
      std::vector<std::byte> to(600, std::byte{0xee});
      const size_t from_offset = to_offset * 2 % 61;
      StreamingCopy(std::span(to).subspan(to_offset, size), std::span(from).subspan(from_offset, size));
      ASSERT_EQ(std::memcmp(to.data() + to_offset, from.data() + from_offset, size), 0) << to_offset << " " << size;
      ASSERT_EQ(to[to_offset + size], std::byte{0xee});
    }
  }
}

}  // namespace
}  // namespace nearcall::transport::shm
