// SPDX-License-Identifier: Apache-2.0
#include "nearcall/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <utility>

namespace nearcall {
namespace {

int Open() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool IsOpen(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(UniqueFdTest, HasNoneAtFirst) {
  const UniqueFd none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.get(), -1);
}

TEST(UniqueFdTest, ClosesAtTheEnd) {
  const int fd = Open();
  {
    const UniqueFd owned(fd);
    EXPECT_TRUE(owned);
    EXPECT_TRUE(IsOpen(owned.get()));
  }
  EXPECT_FALSE(IsOpen(fd));
}

TEST(UniqueFdTest, MovesAndClosesWhatWasThere) {
  const int first = Open();
  const int second = Open();
  UniqueFd owned(first);
  UniqueFd other(second);
  owned = std::move(other);
  EXPECT_FALSE(IsOpen(first));
  EXPECT_TRUE(IsOpen(second));
  const UniqueFd moved(std::move(owned));
  EXPECT_EQ(moved.get(), second);
  EXPECT_TRUE(IsOpen(second));
}

TEST(UniqueFdTest, GivesAway) {
  UniqueFd owned(Open());
  const int fd = owned.Release();
  EXPECT_FALSE(owned);
  owned.Reset();
  EXPECT_TRUE(IsOpen(fd));
  owned.Reset(fd);
  owned.Reset();
  EXPECT_FALSE(IsOpen(fd));
}

}  // namespace
}  // namespace nearcall
