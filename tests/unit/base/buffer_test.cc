// SPDX-License-Identifier: Apache-2.0
#include "base/buffer.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/sanitizers.h"

namespace nearcall::base {
namespace {

TEST(BufferTest, IsEmptyAtFirst) {
  Buffer buffer;
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_TRUE(buffer.bytes().empty());
}

TEST(BufferTest, KeepsItsMemoryWhenItShrinksAndGrowsAgain) {
  Buffer buffer(100);
  const std::byte* data = buffer.data();
  buffer.Resize(3);
  EXPECT_EQ(buffer.bytes().size(), 3u);
  buffer.Resize(100);
  EXPECT_EQ(buffer.data(), data);
  EXPECT_EQ(buffer.capacity(), 100u);
}

TEST(BufferTest, TrimGivesBackOnlyWhatIsTooLarge) {
  Buffer buffer(100);
  buffer.Trim(100);
  EXPECT_EQ(buffer.size(), 100u);
  buffer.Trim(99);
  EXPECT_EQ(buffer.capacity(), 0u);
  EXPECT_EQ(buffer.size(), 0u);
}

TEST(BufferTest, AMovedFromBufferIsEmptyAndCanBeUsedAgain) {
  Buffer from(100);
  const std::byte* data = from.data();
  Buffer to(std::move(from));
  EXPECT_EQ(to.data(), data);
  EXPECT_EQ(from.capacity(), 0u);
  from.Resize(50);
  ASSERT_NE(from.data(), nullptr);
  to = std::move(from);
  EXPECT_EQ(to.size(), 50u);
  EXPECT_EQ(from.size(), 0u);
}

TEST(BufferTest, TryResizeWithoutMemoryChangesNothing) {
  if (testing::kSanitizers) GTEST_SKIP() << "a sanitizer ends the process instead";
  Buffer buffer(10);
  const std::byte* data = buffer.data();
  EXPECT_FALSE(buffer.TryResize(std::numeric_limits<size_t>::max() / 4));
  EXPECT_EQ(buffer.data(), data);
  EXPECT_EQ(buffer.size(), 10u);
}

TEST(BufferTest, TryResizeGrows) {
  Buffer buffer;
  EXPECT_TRUE(buffer.TryResize(10));
  EXPECT_EQ(buffer.bytes().size(), 10u);
}

}  // namespace
}  // namespace nearcall::base
