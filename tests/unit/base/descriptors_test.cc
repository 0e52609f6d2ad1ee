// SPDX-License-Identifier: Apache-2.0
#include "base/descriptors.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "support/no_more_descriptors.h"

namespace nearcall::base {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

Fd Null() {
  return Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

bool IsOpen(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

// Closed on another thread.
bool SoonClosed(int fd) {
  for (int i = 0; i < 20'000 && IsOpen(fd); ++i) ::poll(nullptr, 0, 1);
  return !IsOpen(fd);
}

Descriptors Some(size_t count, std::shared_ptr<DescriptorBudget> budget = nullptr) {
  std::vector<Fd> fds;
  for (size_t i = 0; i < count; ++i) fds.push_back(Null());
  return Descriptors::Own(fds, std::move(budget));
}

TEST(DescriptorsTest, NoneAreNothing) {
  EXPECT_TRUE(Some(0).empty());
  EXPECT_TRUE(Descriptors::Duplicate({}, nullptr)->empty());
  EXPECT_EQ(Shared({}), nullptr);
  Descriptors none;
  EXPECT_THAT(none.Release(), SizeIs(0));
  EXPECT_TRUE(none.refusal().ok());
}

TEST(DescriptorsTest, AreClosedAtTheEnd) {
  Descriptors two = Some(2);
  const std::array fds = {two.fds()[0], two.fds()[1]};
  EXPECT_TRUE(IsOpen(fds[0]) && IsOpen(fds[1]));
  two = Descriptors();
  EXPECT_TRUE(SoonClosed(fds[0]) && SoonClosed(fds[1]));
}

TEST(DescriptorsTest, TheLastOnesAreTakenWithWhatWasPaidForThem) {
  auto budget = std::make_shared<DescriptorBudget>(nullptr);
  ASSERT_TRUE(budget->TryTake(5));
  Descriptors five = Some(5, budget);
  const std::vector<int> fds(five.fds().begin(), five.fds().end());
  {
    const Descriptors two = five.TakeLast(2);
    EXPECT_THAT(two.fds(), ::testing::ElementsAre(fds[3], fds[4]));
    EXPECT_THAT(five.fds(), ::testing::ElementsAre(fds[0], fds[1], fds[2]));
    EXPECT_EQ(budget->held(), 5u);
  }
  EXPECT_TRUE(SoonClosed(fds[3]) && SoonClosed(fds[4]));
  for (int i = 0; i < 20'000 && budget->held() != 3; ++i) ::poll(nullptr, 0, 1);
  EXPECT_EQ(budget->held(), 3u);
  EXPECT_TRUE(five.TakeLast(4).empty()) << "there are not so many";
  const Descriptors all = five.TakeLast(3);
  EXPECT_TRUE(five.empty());
  EXPECT_THAT(all.fds(), SizeIs(3));
}

TEST(DescriptorsTest, AreTheProgramsOnceReleased) {
  Descriptors two = Some(2);
  const int first = two.fds()[0];
  const std::vector<UniqueFd> released = two.Release();
  ASSERT_THAT(released, SizeIs(2));
  EXPECT_EQ(released[0].get(), first);
  EXPECT_TRUE(two.empty());
  EXPECT_TRUE(IsOpen(first));
}

TEST(DescriptorsTest, DuplicatesAreOfTheSameFiles) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const int lent = writer.get();
  Descriptors duplicates = *Descriptors::Duplicate({&lent, 1}, nullptr);
  writer.Reset();
  EXPECT_EQ(::write(duplicates.fds()[0], "x", 1), 1);
  EXPECT_EQ(::fcntl(duplicates.fds()[0], F_GETFD), FD_CLOEXEC);
}

TEST(DescriptorsTest, WithoutRoomNoneAreDuplicated) {
  const Fd null = Null();
  const std::vector<int> lent(3, null.get());
  const auto budget = std::make_shared<DescriptorBudget>(nullptr);
  {
    const nearcall::testing::NoMoreDescriptors none(1);
    const auto duplicates = Descriptors::Duplicate(lent, budget);
    EXPECT_EQ(duplicates.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(duplicates.status().message(), HasSubstr("RLIMIT_NOFILE"));
  }
  for (int i = 0; i < 20'000 && budget->held() != 0; ++i) ::poll(nullptr, 0, 1);
  EXPECT_EQ(budget->held(), 0u);
}

TEST(DescriptorsTest, OneConnectionHoldsSoManyAndNoMore) {
  const auto budget = std::make_shared<DescriptorBudget>(nullptr);
  for (size_t i = 0; i < kMaxHeldDescriptors / 16; ++i) EXPECT_TRUE(budget->TryTake(16));
  EXPECT_FALSE(budget->TryTake(1));
  EXPECT_EQ(budget->TakeReceived(16), DescriptorBudget::Taken::kOver);
  EXPECT_EQ(budget->TakeReceived(16), DescriptorBudget::Taken::kOver);
  EXPECT_EQ(budget->TakeReceived(1), DescriptorBudget::Taken::kBroken);
  budget->Give(16, /*over=*/true);
  EXPECT_EQ(budget->TakeReceived(1), DescriptorBudget::Taken::kOver);
  budget->Give(48);
  EXPECT_TRUE(budget->TryTake(1));
}

TEST(DescriptorsTest, WhatIsRefusedSaysWhy) {
  Descriptors refused = Descriptors::Refused("no room");
  EXPECT_FALSE(refused.empty());
  EXPECT_THAT(refused.fds(), SizeIs(0));
  EXPECT_EQ(refused.refusal(), absl::ResourceExhaustedError("no room"));
  EXPECT_THAT(refused.Release(), SizeIs(0));
}

TEST(DescriptorsTest, AreCheckedByTheirNumbers) {
  const Fd null = Null();
  EXPECT_TRUE(CheckDescriptors(std::vector<int>(16, null.get()), "these").ok());
  EXPECT_THAT(CheckDescriptors(std::vector<int>(17, null.get()), "these").message(), HasSubstr("these has 17"));
  for (const int bad : {-1, 987'654}) {
    const std::vector<int> fds = {null.get(), bad};
    EXPECT_EQ(CheckDescriptors(fds, "these").code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace nearcall::base
