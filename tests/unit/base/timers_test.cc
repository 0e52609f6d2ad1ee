// SPDX-License-Identifier: Apache-2.0
#include "base/timers.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/timerfd.h>

#include <memory>
#include <utility>

namespace nearcall::base {
namespace {

constexpr SteadyNs kLater = kNever - 1;

class TimersTest : public ::testing::Test {
 protected:
  bool IsReadable(int timeout_ms = 0) const {
    pollfd item{.fd = fd_, .events = POLLIN, .revents = 0};
    return ::poll(&item, 1, timeout_ms) == 1;
  }
  SteadyNs SetTo() const {
    itimerspec left;
    EXPECT_EQ(::timerfd_gettime(fd_, &left), 0);
    return left.it_value.tv_sec * SteadyNs{1'000'000'000} + left.it_value.tv_nsec;
  }

  Fd timer_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  const int fd_ = timer_.get();
  Timers timers_{std::move(timer_)};
  int called_ = 0;
};

TEST_F(TimersTest, TheFirstMakesItReadable) {
  timers_.Add(1, kLater, [] {});
  EXPECT_FALSE(IsReadable());
  timers_.Add(2, NowNs() + 1'000'000, [] {});
  EXPECT_TRUE(IsReadable(/*timeout_ms=*/20'000));
  EXPECT_TRUE(timers_.GoesOff());
  EXPECT_FALSE(IsReadable());
}

TEST_F(TimersTest, ThoseThatAreDueAreTakenByTheirTimes) {
  timers_.Add(1, 30, [&] { called_ += 1; });
  timers_.Add(2, 10, [&] { called_ += 2; });
  timers_.Add(3, 10, [&] { called_ += 4; });
  EXPECT_EQ(timers_.TakeDue(9).id, 0u);
  Timers::Due due = timers_.TakeDue(20);
  EXPECT_EQ(due.id, 2u);
  due.callback();
  EXPECT_EQ(called_, 2);
  EXPECT_EQ(timers_.TakeDue(20).id, 3u);
  EXPECT_EQ(timers_.TakeDue(20).id, 0u);
  EXPECT_EQ(timers_.TakeDue(30).id, 1u);
}

TEST_F(TimersTest, WhatIsTakenOrRemovedIsHandedOut) {
  const auto owned = std::make_shared<int>();
  timers_.Add(1, 0, [owned] {});
  timers_.Add(2, 0, [owned] {});
  timers_.Add(3, 0, [owned] {});
  EXPECT_TRUE(timers_.Remove(1));
  EXPECT_FALSE(timers_.Remove(1));
  EXPECT_EQ(owned.use_count(), 3);
  EXPECT_EQ(timers_.TakeDue(0).id, 2u);
  EXPECT_EQ(owned.use_count(), 2);
  Timers::All all = timers_.RemoveAll();
  EXPECT_EQ(owned.use_count(), 2);
  all.clear();
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_FALSE(timers_.Remove(3));
}

TEST_F(TimersTest, ARemovalLeavesTheDescriptorAsItIs) {
  timers_.Add(1, NowNs(), [] {});
  timers_.Add(2, kLater, [] {});
  timers_.Remove(1);
  EXPECT_TRUE(IsReadable(/*timeout_ms=*/20'000));
  EXPECT_TRUE(timers_.GoesOff());
  EXPECT_EQ(timers_.TakeDue(NowNs()).id, 0u);
  EXPECT_EQ(SetTo(), 0);
  timers_.SetAnew();
  EXPECT_NE(SetTo(), 0) << "for the other one";
}

TEST_F(TimersTest, ItDoesNotGoOffIfItHasBeenSetAnew) {
  timers_.Add(1, NowNs(), [] {});
  EXPECT_TRUE(IsReadable(/*timeout_ms=*/20'000));
  timers_.Add(2, 1, [] {});
  EXPECT_TRUE(IsReadable(/*timeout_ms=*/20'000));
  EXPECT_TRUE(timers_.GoesOff());
  EXPECT_FALSE(timers_.GoesOff()) << "once";
}

}  // namespace
}  // namespace nearcall::base
