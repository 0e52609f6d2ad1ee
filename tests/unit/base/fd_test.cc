// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <cerrno>
#include <initializer_list>
#include <utility>

#include "os/child.h"

namespace nearcall::base {
namespace {

Fd Open() {
  return Fd(::eventfd(0, EFD_CLOEXEC));
}

bool IsOpen(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}

TEST(FdTest, ClosesAtTheEnd) {
  int number;
  {
    const Fd fd = Open();
    number = fd.get();
    EXPECT_TRUE(fd.valid());
    EXPECT_TRUE(IsOpen(number));
  }
  EXPECT_FALSE(IsOpen(number));
}

TEST(FdTest, MovesOwnership) {
  Fd from = Open();
  const int number = from.get();
  Fd to(std::move(from));
  EXPECT_FALSE(from.valid());
  EXPECT_EQ(to.get(), number);
  EXPECT_TRUE(IsOpen(number));
}

TEST(FdTest, ADuplicateIsADescriptorOfItsOwnThatExecCloses) {
  Fd original = Open();
  const Fd duplicate = Duplicate(original.get());
  ASSERT_TRUE(duplicate.valid());
  EXPECT_NE(duplicate.get(), original.get());
  EXPECT_EQ(::fcntl(duplicate.get(), F_GETFD), FD_CLOEXEC);
  original.Reset();
  EXPECT_TRUE(IsOpen(duplicate.get()));
}

TEST(FdTest, WhatIsNotOpenHasNoDuplicate) {
  EXPECT_FALSE(Duplicate(-1).valid());
  EXPECT_EQ(errno, EBADF);
}

TEST(FdTest, AssignmentClosesWhatWasThere) {
  Fd fd = Open();
  const int old_number = fd.get();
  Fd other = Open();
  const int new_number = other.get();
  fd = std::move(other);
  EXPECT_FALSE(IsOpen(old_number));
  EXPECT_EQ(fd.get(), new_number);
}

TEST(FdTest, SelfAssignmentKeepsIt) {
  Fd fd = Open();
  Fd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(IsOpen(fd.get()));
}

TEST(FdTest, ReleaseGivesTheDescriptorAway) {
  Fd fd = Open();
  const Fd taken(fd.Release());
  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(IsOpen(taken.get()));
}

TEST(FdTest, ResetClosesAtOnce) {
  Fd fd = Open();
  const int number = fd.get();
  fd.Reset();
  EXPECT_FALSE(fd.valid());
  EXPECT_FALSE(IsOpen(number));
}

// --- the numbers of standard input, output and error ---

bool StandardOnesAreClosed() {
  return !IsOpen(0) && !IsOpen(1) && !IsOpen(2);
}

TEST(FdTest, NeverHasTheNumberOfAStandardOne) {
  testing::Child child([] {
    for (const int number : {0, 1, 2}) ::close(number);
    const Fd made = Open();
    Fd reset;
    reset.Reset(::eventfd(0, EFD_CLOEXEC));
    const Fd duplicate = Duplicate(made.get());
    if (!StandardOnesAreClosed()) return 1;
    for (const Fd* fd : std::initializer_list<const Fd*>{&made, &reset, &duplicate}) {
      if (fd->get() <= 2 || ::fcntl(fd->get(), F_GETFD) != FD_CLOEXEC) return 2;
    }
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST(FdTest, WithoutRoomForAnotherNumberThereIsNone) {
  testing::Child child([] {
    for (const int number : {0, 1, 2}) ::close(number);
    const rlimit limit{.rlim_cur = 3, .rlim_max = 3};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const Fd fd = Open();
    return !fd.valid() && errno == EMFILE && StandardOnesAreClosed() ? 0 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
}

}  // namespace
}  // namespace nearcall::base
