// SPDX-License-Identifier: Apache-2.0

// A frame that is copied out of the ring is not read there again, though the compiler sees that the copy is one: what
// was checked is what is used, whatever the peer writes meanwhile.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "transport/fault.h"
#include "transport/shm/record.h"
#include "transport/shm/ring_reader.h"
#include "unit/transport/counted_region.h"
#include "wire/header.h"

namespace nearcall::transport::shm {
namespace {

// `flatten`: the optimiser sees all of it at once, as it may choose to anywhere.

// As the inbox does it.
[[gnu::noinline, gnu::flatten]] bool TakeHeader(const RingReader& reader, size_t size, wire::FrameHeader& header) {
  std::array<std::byte, wire::kHeaderSize> raw;
  reader.CopyOut(0, raw);
  return wire::DecodeHeader(raw, size, header).ok();
}

struct Words {
  uint32_t size;
  uint32_t kind;
  uint64_t a, b, c, d, e, f;
};
static_assert(sizeof(Words) == wire::kHeaderSize);

constexpr uint32_t kMaxSize = 100;
constexpr uint32_t kKinds = 6;

// What is looked at alone, and used as a whole. Without a barrier g++ 12 reads the size a second time here.
[[gnu::noinline, gnu::flatten]] bool TakeWords(const RingReader& reader, int* counts, Words* words) {
  Words copy;
  reader.CopyOut(0, std::as_writable_bytes(std::span(&copy, 1)));
  if (copy.size > kMaxSize) return false;
  counts[copy.size] += 1;
  words[copy.kind < kKinds ? copy.kind : 0] = copy;
  counts[copy.size] += 2;
  return true;
}

class CopyOnceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (CountedRegion::WhyNot() != nullptr) GTEST_SKIP() << CountedRegion::WhyNot();
    peer_.page().tail = 64;
    peer_.record() = RecordPrefix::ToWord(wire::kHeaderSize, RecordKind::kFrame);
    ASSERT_EQ(reader_.Peek(size_), Transport::ReadState::kFrame);
  }

  std::span<std::byte> frame() const { return peer_.ring().subspan(kPrefixSize, wire::kHeaderSize); }

  void Write(const Words& words) { std::memcpy(frame().data(), &words, sizeof(words)); }

  // Runs `take` with a frame that is `before` until it has been read `change_at` times, and then `after`.
  template <typename Take>
  bool TakeWhileItChanges(const Words& before, const Words& after, int change_at, const Take& take) {
    Write(before);
    int reads = 0;
    peer_.OnRead([&] {
      if (++reads == change_at) Write(after);
    });
    bool taken = false;
    peer_.Watch([&] { taken = take(); });
    peer_.OnRead(nullptr);
    return taken;
  }

  static constexpr int kMostReads = 20;

  CountedRegion peer_;
  ControlPage own_page_{};
  Fault fault_{"shm"};
  RingReader reader_{own_page_, peer_.page(), peer_.ring(), fault_};
  size_t size_ = 0;
};

TEST_F(CopyOnceTest, AHeaderThatWasCheckedIsTheOneThatIsUsed) {
  wire::FrameHeader sent;
  sent.flags = wire::kFirst | wire::kLast;
  sent.sequence = sent.call_id = 1;
  Words right;
  wire::EncodeHeader(sent, std::as_writable_bytes(std::span(&right, 1)));
  sent.kind = static_cast<wire::FrameKind>(77);
  sent.payload_size = sent.message_size = 77;
  sent.priority = 77;
  Words wrong;
  wire::EncodeHeader(sent, std::as_writable_bytes(std::span(&wrong, 1)));
  for (int change_at = 1; change_at <= kMostReads; ++change_at) {
    for (const bool right_first : {true, false}) {
      wire::FrameHeader header;
      const bool taken = TakeWhileItChanges(right_first ? right : wrong, right_first ? wrong : right, change_at,
                                            [&] { return TakeHeader(reader_, size_, header); });
      if (!taken) continue;
      EXPECT_EQ(header.kind, wire::FrameKind::kRequest) << change_at;
      EXPECT_EQ(header.payload_size, 0u) << change_at;
      EXPECT_EQ(header.message_size, 0u) << change_at;
      EXPECT_LT(header.priority, base::kLanes) << change_at;
    }
  }
}

TEST_F(CopyOnceTest, ASizeThatWasCheckedIsTheOneThatIsUsed) {
  const Words right = {.size = kMaxSize, .kind = 0, .a = 1, .b = 2, .c = 3, .d = 4, .e = 5, .f = 6};
  const Words wrong = {.size = kMaxSize + 1, .kind = 0, .a = 1, .b = 2, .c = 3, .d = 4, .e = 5, .f = 6};
  for (int change_at = 1; change_at <= kMostReads; ++change_at) {
    for (const bool right_first : {true, false}) {
      std::array<int, kMaxSize + 1> counts{};
      std::array<Words, kKinds> words{};
      const bool taken = TakeWhileItChanges(right_first ? right : wrong, right_first ? wrong : right, change_at,
                                            [&] { return TakeWords(reader_, counts.data(), words.data()); });
      if (taken) {
        EXPECT_EQ(words[0].size, kMaxSize) << "changed after " << change_at << " reads";
      }
    }
  }
}

}  // namespace
}  // namespace nearcall::transport::shm
