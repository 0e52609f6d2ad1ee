// SPDX-License-Identifier: Apache-2.0
#include "nearcall/buffer_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/buffer_memory.h"
#include "base/limits.h"
#include "base/shared_memory.h"
#include "support/no_more_descriptors.h"

namespace nearcall {
namespace {

constexpr size_t kSize = size_t{1} << 20;

Buffer Allocate(BufferPool& pool, size_t size = kSize) {
  absl::StatusOr<Buffer> buffer = pool.Allocate(size);
  EXPECT_TRUE(buffer.ok()) << buffer.status();
  return buffer.ok() ? *std::move(buffer) : Buffer();
}

bool IsOfAPool(const Buffer& buffer) {
  return buffer.memory()->Lease().valid();
}

TEST(BufferPoolTest, MemoryIsUsedAgainWhenTheLastHandleIsGone) {
  BufferPool pool(10 * kSize);
  Buffer buffer = Allocate(pool, kSize - 100);
  EXPECT_TRUE(IsOfAPool(buffer));
  EXPECT_EQ(buffer.size(), kSize - 100);
  std::memset(buffer.mutable_bytes().data(), 7, buffer.size());
  const std::byte* const where = buffer.bytes().data();
  ASSERT_TRUE(buffer.Seal().ok());
  EXPECT_TRUE(buffer.mutable_bytes().empty());
  Buffer copy = buffer;
  buffer = Buffer();
  EXPECT_NE(Allocate(pool).bytes().data(), where) << "there is a copy";
  copy = Buffer();
  std::vector<Buffer> two = {Allocate(pool), Allocate(pool)};
  EXPECT_TRUE(two[0].bytes().data() == where || two[1].bytes().data() == where);
  EXPECT_EQ(pool.bytes(), 2 * kSize);
  EXPECT_FALSE(two[0].sealed());
}

TEST(BufferPoolTest, NotWhileSomebodyHasALease) {
  BufferPool pool(10 * kSize);
  std::optional<Buffer> buffer = Allocate(pool);
  const std::byte* const where = buffer->bytes().data();
  base::Fd lease = buffer->memory()->Lease();
  buffer.reset();
  EXPECT_NE(Allocate(pool).bytes().data(), where);
  lease.Reset();
  const Buffer one = Allocate(pool);
  const Buffer other = Allocate(pool);
  EXPECT_TRUE(one.bytes().data() == where || other.bytes().data() == where);
}

TEST(BufferPoolTest, TheOneThatFitsBest) {
  BufferPool pool(20 * kSize);
  std::optional<Buffer> large = Allocate(pool, 4 * kSize);
  std::optional<Buffer> right = Allocate(pool, 2 * kSize);
  const std::byte* const right_one = right->bytes().data();
  large.reset();
  right.reset();
  const Buffer first = Allocate(pool, 2 * kSize - 5000);
  EXPECT_EQ(first.bytes().data(), right_one);
  const Buffer small = Allocate(pool, kSize);
  EXPECT_EQ(pool.bytes(), 7 * kSize) << "four times as large is too large";
}

TEST(BufferPoolTest, WhatIsCopiedAnywayIsNotOfIt) {
  BufferPool pool(10 * kSize);
  EXPECT_FALSE(IsOfAPool(Allocate(pool, base::kPassedFrom - 1)));
  EXPECT_TRUE(IsOfAPool(Allocate(pool, base::kPassedFrom)));
  EXPECT_TRUE(Allocate(pool, 0).empty());
}

TEST(BufferPoolTest, BeyondItsRoomBuffersAreNewOnes) {
  BufferPool pool(2 * kSize);
  const Buffer one = Allocate(pool);
  std::optional<Buffer> two = Allocate(pool);
  const Buffer three = Allocate(pool);
  EXPECT_FALSE(IsOfAPool(three));
  EXPECT_EQ(three.size(), kSize);
  EXPECT_FALSE(IsOfAPool(Allocate(pool, 3 * kSize)));
  two.reset();
  EXPECT_TRUE(IsOfAPool(Allocate(pool)));
}

TEST(BufferPoolTest, WhatDoesNotFitMakesRoomForWhatIsWanted) {
  BufferPool pool(4 * kSize);
  for (size_t i = 0; i < 3; ++i)
    const std::vector<Buffer> four = {Allocate(pool), Allocate(pool), Allocate(pool), Allocate(pool)};
  EXPECT_EQ(pool.bytes(), 4 * kSize);
  const Buffer large = Allocate(pool, 3 * kSize);
  EXPECT_TRUE(IsOfAPool(large));
  EXPECT_EQ(pool.bytes(), 4 * kSize) << "one of the small ones is left";
}

TEST(BufferPoolTest, ItsBuffersOutliveIt) {
  std::optional<BufferPool> pool(std::in_place, 10 * kSize);
  Buffer buffer = Allocate(*pool);
  Allocate(*pool);
  pool.reset();
  std::memset(buffer.mutable_bytes().data(), 7, buffer.size());
  EXPECT_TRUE(buffer.Seal().ok());
}

TEST(BufferPoolTest, AChildMakesItsOwn) {
  BufferPool pool(10 * kSize);
  Allocate(pool);
  Buffer buffer = Allocate(pool);
  const pid_t child = ::fork();
  if (child == 0) {
    buffer = Buffer();
    absl::StatusOr<Buffer> own = pool.Allocate(kSize);
    if (own.ok()) std::memset(own->mutable_bytes().data(), 7, kSize);
    ::_exit(own.ok() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(IsOfAPool(buffer));
}

TEST(BufferPoolTest, WithoutADescriptorThereIsNoBuffer) {
  BufferPool pool(10 * kSize);
  {
    const testing::NoMoreDescriptors none;
    EXPECT_TRUE(absl::IsResourceExhausted(pool.Allocate(kSize).status()));
  }
  EXPECT_EQ(pool.bytes(), 0u);
  EXPECT_TRUE(IsOfAPool(Allocate(pool)));
}

// For who gets it, but not as a lease.
TEST(BufferPoolTest, ASealedCopyIsMadeOnce) {
  BufferPool pool(10 * kSize);
  Buffer buffer = Allocate(pool);
  std::memset(buffer.mutable_bytes().data(), 7, kSize);
  EXPECT_EQ(buffer.memory()->fd(), -1);
  ASSERT_TRUE(buffer.Seal().ok());
  const auto copy = buffer.memory()->SealedCopy();
  ASSERT_NE(copy, nullptr);
  EXPECT_TRUE(base::VerifySealedMemory(copy->fd(), kSize).ok());
  EXPECT_EQ(copy->bytes().back(), std::byte{7});
  EXPECT_EQ(buffer.memory()->SealedCopy(), copy);
  EXPECT_EQ(Buffer::Allocate(kSize)->memory()->SealedCopy(), nullptr) << "which can be passed as it is";
}

}  // namespace
}  // namespace nearcall
