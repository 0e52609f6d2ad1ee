// SPDX-License-Identifier: Apache-2.0

// How often the ring's ends read a word that the peer may change at any time: once for each use, so that what was
// checked is what is used. Counted as the processor reads, so that it does not matter whether a second read stands in
// the source or is the compiler's.

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "transport/shm/record.h"
#include "transport/shm/ring_reader.h"
#include "transport/shm/ring_writer.h"
#include "unit/transport/counted_region.h"

namespace nearcall::transport::shm {
namespace {

constexpr size_t kRing = CountedRegion::kRing;

class ShmFetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (CountedRegion::WhyNot() != nullptr) GTEST_SKIP() << CountedRegion::WhyNot();
  }

  CountedRegion peer_;
  ControlPage own_page_{};
  Fault fault_{"shm"};
};

TEST_F(ShmFetchTest, TheReaderReadsTailAndPrefixOnce) {
  RingReader reader(own_page_, peer_.page(), peer_.ring(), fault_);
  peer_.page().tail = 64;
  peer_.record() = RecordPrefix::ToWord(56, RecordKind::kFrame);
  size_t size = 0;
  peer_.Watch([&] {
    reader.Peek(size);
    reader.Pop();
    reader.Release();
  });
  EXPECT_EQ(size, 56u);
  EXPECT_EQ(peer_.Reads(&peer_.page().tail), 1);
  EXPECT_EQ(peer_.Reads(&peer_.record()), 1);
  EXPECT_EQ(peer_.Reads(&peer_.page().head), 0);
}

TEST_F(ShmFetchTest, TheWriterReadsTheHeadOnce) {
  std::vector<uint64_t> ring(kRing / 8);
  RingWriter writer(own_page_, peer_.page(), std::as_writable_bytes(std::span(ring)), fault_);
  for (int i = 0; i < 4; ++i) {
    ASSERT_FALSE(writer.Reserve(MaxFrameSize(kRing)).empty());
    writer.Commit();
  }
  peer_.page().head = kRing / 4;
  bool reserved = false;
  peer_.Watch([&] { reserved = !writer.Reserve(1).empty(); });
  EXPECT_TRUE(reserved);
  EXPECT_EQ(peer_.Reads(&peer_.page().head), 1);
  peer_.Watch([&] { writer.HasRoom(1); });
  EXPECT_EQ(peer_.Reads(&peer_.page().head), 1);
}

}  // namespace
}  // namespace nearcall::transport::shm
