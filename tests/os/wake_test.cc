// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "support/asleep.h"

// eventfd(2) and epoll(7): how pollers are woken.
namespace nearcall::testing {
namespace {

using base::Fd;

class WakeTest : public ::testing::Test {
 protected:
  WakeTest() : bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.fd = bell_.get()}};
    EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, bell_.get(), &event), 0);
  }

  void Ring() {
    const uint64_t one = 1;
    EXPECT_EQ(::write(bell_.get(), &one, sizeof(one)), ssize_t{sizeof(one)});
  }

  bool TakeToken() {
    uint64_t token;
    return ::read(bell_.get(), &token, sizeof(token)) == ssize_t{sizeof(token)};
  }

  int Wait(int timeout_ms) {
    epoll_event event;
    return ::epoll_wait(epoll_.get(), &event, 1, timeout_ms);
  }

  Fd bell_;
  Fd epoll_;
};

TEST_F(WakeTest, EdgeTriggeredEachWriteIsToldOnceReadOrNot) {
  EXPECT_EQ(Wait(0), 0);
  Ring();
  EXPECT_EQ(Wait(0), 1);
  EXPECT_EQ(Wait(0), 0);
  Ring();
  EXPECT_EQ(Wait(0), 1);
  EXPECT_EQ(Wait(0), 0);
}

TEST_F(WakeTest, WhatWasWrittenBeforeItIsWatchedIsToldToo) {
  Ring();
  const Fd late(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {}};
  ASSERT_EQ(::epoll_ctl(late.get(), EPOLL_CTL_ADD, bell_.get(), &event), 0);
  EXPECT_EQ(::epoll_wait(late.get(), &event, 1, 0), 1);
}

TEST_F(WakeTest, ACountingEventfdGivesOneTokenForEachPost) {
  Ring();
  Ring();
  EXPECT_TRUE(TakeToken());
  EXPECT_TRUE(TakeToken());
  EXPECT_FALSE(TakeToken());
}

// A poller that is not needed stays asleep, and the one whose caches are warm gets the work.
TEST_F(WakeTest, OneWriteWakesOneThreadTheOneThatFellAsleepLast) {
  constexpr size_t kThreads = 4;
  std::array<std::atomic<size_t>, kThreads> woken = {};  // thread + 1, in the order in which they woke
  std::atomic<size_t> count = 0;
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    std::atomic<pid_t> id{0};
    threads.emplace_back([&, i] {
      id = ::gettid();
      Wait(10'000);
      EXPECT_TRUE(TakeToken());  // woken without reason it would find none
      woken[count++] = i + 1;
    });
    AwaitAsleep(id);
  }
  for (size_t i = 0; i < kThreads; ++i) {
    Ring();
    while (woken[i] == 0) ::sched_yield();
    EXPECT_EQ(count, i + 1);
    EXPECT_EQ(woken[i], kThreads - i);
  }
}

}  // namespace
}  // namespace nearcall::testing
