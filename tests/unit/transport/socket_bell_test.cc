// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/socket_bell.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "slow_to_close.h"
#include "support/asleep.h"
#include "transport/doorbell.h"
#include "transport/shm/shm_pair.h"

namespace nearcall::transport::shm {
namespace {

using nearcall::testing::AwaitAsleep;

constexpr base::SteadyNs kAtOnce = 0;

class SocketBellTest : public ::testing::Test {
 protected:
  SocketBellTest() {
    SocketBell::Pair pair = *SocketBell::Create();
    servers_ = base::Duplicate(pair.rings.get());
    clients_ = base::Duplicate(pair.hears.get());
    rings_.emplace(std::move(pair.rings));
    hears_ = std::make_unique<SocketBell>(std::move(pair.hears), *FdSleeper::Create());
  }

  base::Fd servers_;
  base::Fd clients_;
  std::optional<SocketBell> rings_;
  std::unique_ptr<SocketBell> hears_;
};

TEST_F(SocketBellTest, ManyRingsAreHeardOnce) {
  EXPECT_FALSE(hears_->Wait(kAtOnce));
  for (int i = 0; i < 10; ++i) rings_->Ring();
  EXPECT_TRUE(hears_->Wait(base::kNever));
  EXPECT_FALSE(hears_->Wait(kAtOnce));
}

// More of them than the socket has room for.
TEST_F(SocketBellTest, EachRingIsAnEventInEpoll) {
  const base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, hears_->fd(), &event), 0);
  EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 0);
  for (int i = 0; i < 1000; ++i) {
    rings_->Ring();
    ASSERT_EQ(::epoll_wait(epoll.get(), &event, 1, 5'000), 1) << i;
    ASSERT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 0);
    hears_->Clear();
  }
}

TEST_F(SocketBellTest, AFullBellHoldsUpNobody) {
  for (int i = 0; i < 10'000; ++i) rings_->Ring();
  EXPECT_TRUE(hears_->Wait(base::kNever));
}

TEST_F(SocketBellTest, NobodyHearsItAnyMore) {
  clients_.Reset();
  hears_.reset();
  rings_->Ring();
}

TEST_F(SocketBellTest, WhoseServerHasGoneIsStillWaitedAt) {
  rings_->Ring();
  rings_.reset();
  servers_.Reset();
  EXPECT_TRUE(hears_->Wait(kAtOnce)) << "what was rung before";
  const base::SteadyNs until = base::NowNs() + 2'000'000;
  EXPECT_FALSE(hears_->Wait(until));
  EXPECT_GE(base::NowNs(), until);
}

TEST_F(SocketBellTest, InterruptWakes) {
  std::atomic<pid_t> tid{0};
  std::thread waiter([&] {
    tid = ::gettid();
    EXPECT_FALSE(hears_->Wait(base::kNever));
  });
  AwaitAsleep(tid);
  hears_->Interrupt();
  waiter.join();
}

TEST_F(SocketBellTest, NothingCanBeSentToTheServer) {
  EXPECT_EQ(::send(clients_.get(), "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
}

TEST_F(SocketBellTest, WhatIsNoSuchSocketIsRefused) {
  EXPECT_TRUE(SocketBell::Verify(clients_).ok());
  EXPECT_FALSE(SocketBell::Verify(*CreateDoorbell()).ok());
  EXPECT_FALSE(SocketBell::Verify(base::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))).ok());
  EXPECT_FALSE(SocketBell::Verify(base::Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))).ok());
}

// What the kernel would close on this thread, for as long as that takes.
TEST_F(SocketBellTest, DescriptorsInItAreNotTakenAndNotClosedHere) {
  testing::SlowToClose slow;
  const std::array<std::byte, 1> byte{};
  slow.Pass(servers_, clients_.get(), byte);
  clients_.Reset();
  EXPECT_FALSE(slow.HoldsUp([&] {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(hears_->Wait(kAtOnce));
    for (int i = 0; i < 1000; ++i) hears_->Clear();
    rings_.reset();
    servers_.Reset();
    hears_.reset();
  }));
  slow.Release();
}

TEST(ShmWithSocketBellTest, TheClientsEndIsWaitedForInBothWays) {
  const TransportPair pair = *MakeShmPairWithSocketBell(4096);
  EXPECT_EQ(pair.client->wait_fds().bell, -1) << "it has Wait()";
  EXPECT_GE(pair.client->event_fds().bell, 0);
  const TransportPair other = *MakeShmPair(4096);
  EXPECT_EQ(other.client->event_fds().bell, -1);
}

}  // namespace
}  // namespace nearcall::transport::shm
