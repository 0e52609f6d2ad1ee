// SPDX-License-Identifier: Apache-2.0
#include "base/warm_memory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/limits.h"
#include "base/reactor.h"
#include "support/sanitizers.h"

namespace nearcall::base {
namespace {

constexpr size_t kMebibyte = size_t{1} << 20;

class WarmMemoryTest : public ::testing::Test {
 protected:
  WarmMemoryTest() { WarmMemory::GiveBackOlderThan(kNever); }
  ~WarmMemoryTest() override { WarmMemory::GiveBackOlderThan(kNever); }
};

TEST_F(WarmMemoryTest, WhatIsGivenIsTakenAgain) {
  const WarmMemory::Block block = WarmMemory::TryTake(kMebibyte + 1);
  ASSERT_NE(block.data, nullptr);
  EXPECT_GT(block.size, kMebibyte);
  std::memset(block.data, 1, block.size);
  WarmMemory::Give(block);
  EXPECT_EQ(WarmMemory::bytes_kept(), block.size);
  const WarmMemory::Block again = WarmMemory::TryTake(kMebibyte);
  EXPECT_EQ(again.data, block.data);
  EXPECT_EQ(again.size, block.size);
  EXPECT_EQ(WarmMemory::bytes_kept(), 0u);
  std::memset(again.data, 2, again.size);
  WarmMemory::Give(again);
}

TEST_F(WarmMemoryTest, WhoAsksForLittleDoesNotGetMuch) {
  WarmMemory::Give(WarmMemory::TryTake(4 * kMebibyte));
  const WarmMemory::Block small = WarmMemory::TryTake(kMebibyte);
  EXPECT_EQ(small.size, kMebibyte);
  WarmMemory::Give(small);
}

TEST_F(WarmMemoryTest, TheSmallestThatDoesIsTaken) {
  const WarmMemory::Block larger = WarmMemory::TryTake(kMebibyte + kMebibyte / 8);
  const WarmMemory::Block fits = WarmMemory::TryTake(kMebibyte);
  WarmMemory::Give(fits);
  WarmMemory::Give(larger);
  EXPECT_EQ(WarmMemory::TryTake(kMebibyte).data, fits.data);
  WarmMemory::Give(fits);
}

TEST_F(WarmMemoryTest, KeepsSoManyBytesAtMostThoseThatWereUsedLast) {
  std::vector<WarmMemory::Block> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(WarmMemory::TryTake(kMaxWarmBytes / 4));
  for (const WarmMemory::Block& block : blocks) WarmMemory::Give(block);
  EXPECT_EQ(WarmMemory::bytes_kept(), kMaxWarmBytes);
  WarmMemory::Give(WarmMemory::TryTake(2 * kMaxWarmBytes));
  EXPECT_EQ(WarmMemory::bytes_kept(), kMaxWarmBytes);
}

TEST_F(WarmMemoryTest, MoreSmallBlocksThanItCounts) {
  std::vector<Buffer> buffers;
  for (int i = 0; i < 100; ++i) buffers.emplace_back(WarmMemory::kMinBlock);
  buffers.clear();
  EXPECT_LT(WarmMemory::bytes_kept(), 100 * WarmMemory::kMinBlock);
  EXPECT_GE(WarmMemory::bytes_kept(), 16 * WarmMemory::kMinBlock);
}

TEST_F(WarmMemoryTest, WhatNobodyNeedsGoesBack) {
  const auto reactor = Reactor::Create();
  ASSERT_TRUE(reactor.ok());
  WarmMemory::CareWith(*reactor);
  Buffer(kMebibyte).Trim(0);
  EXPECT_EQ(WarmMemory::bytes_kept(), kMebibyte);
  const SteadyNs start = NowNs();
  while (WarmMemory::bytes_kept() != 0) (*reactor)->Turn(1, /*timeout_ms=*/20'000);
  EXPECT_GE(NowNs() - start, kWarmNs);
}

TEST_F(WarmMemoryTest, ABufferOfALargeMessageIsTheNextOnes) {
  const std::byte* data;
  {
    Buffer buffer(kMebibyte);
    data = buffer.data();
  }
  Buffer next;
  ASSERT_TRUE(next.TryResize(kMebibyte));
  EXPECT_EQ(next.data(), data);
  EXPECT_EQ(next.size(), kMebibyte);
}

// It never learns what became of the rest.
TEST_F(WarmMemoryTest, AChildDoesNotWaitForAThreadOfItsParent) {
  if (!nearcall::testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  std::atomic<bool> stop = false;
  std::thread busy([&] {
    while (!stop) WarmMemory::Give(WarmMemory::TryTake(kMebibyte));
  });
  for (int i = 0; i < 100; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);  // in place of waiting for ever
      WarmMemory::GiveBackOlderThan(kNever);
      ::_exit(0);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    if (status != 0) break;
  }
  stop = true;
  busy.join();
}

}  // namespace
}  // namespace nearcall::base
