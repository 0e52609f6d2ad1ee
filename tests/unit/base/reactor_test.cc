// SPDX-License-Identifier: Apache-2.0
#include "base/reactor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace nearcall::base {
namespace {

using ::testing::ElementsAre;

constexpr size_t kAll = std::numeric_limits<size_t>::max();

class Recorder final : public Reactor::Target {
 public:
  void OnReady(uint32_t slot, uint32_t events) override {
    ready.emplace_back(slot, events);
    if (on_ready) on_ready();
  }
  size_t OnTurn(size_t max) override {
    ++turns;
    return on_turn ? on_turn(max) : 1;
  }

  std::vector<std::pair<uint32_t, uint32_t>> ready;
  int turns = 0;
  std::function<void()> on_ready;
  std::function<size_t(size_t max)> on_turn;
};

class ReactorTest : public ::testing::Test {
 protected:
  bool IsReadable() const {
    pollfd item{.fd = reactor_->fd(), .events = POLLIN, .revents = 0};
    return ::poll(&item, 1, /*timeout=*/0) == 1;
  }
  void WaitUntilReadable() const {
    pollfd item{.fd = reactor_->fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&item, 1, /*timeout=*/20'000), 1);
  }

  const std::shared_ptr<Reactor> reactor_ = *Reactor::Create();
  const std::shared_ptr<Recorder> target_ = std::make_shared<Recorder>();
  const std::shared_ptr<Recorder> other_ = std::make_shared<Recorder>();
};

TEST_F(ReactorTest, ThereIsNothingToDoAtFirst) {
  EXPECT_FALSE(IsReadable());
  EXPECT_EQ(reactor_->Turn(kAll), 0u);
  EXPECT_FALSE(IsReadable());
}

TEST_F(ReactorTest, WhoIsScheduledHasOneTurn) {
  const Reactor::Id id = reactor_->Add(target_);
  reactor_->Schedule(id);
  reactor_->Schedule(id);
  EXPECT_TRUE(IsReadable());
  EXPECT_EQ(reactor_->Turn(kAll), 1u);
  EXPECT_EQ(target_->turns, 1);
  EXPECT_FALSE(IsReadable());
  EXPECT_EQ(reactor_->Turn(kAll), 0u);
}

TEST_F(ReactorTest, WhoSchedulesHimselfHasHisNextTurnInTheNextOne) {
  const Reactor::Id id = reactor_->Add(target_);
  target_->on_turn = [&](size_t) {
    reactor_->Schedule(id);
    return 0;
  };
  reactor_->Schedule(id);
  EXPECT_EQ(reactor_->Turn(kAll), 0u);
  EXPECT_EQ(target_->turns, 1);
  EXPECT_TRUE(IsReadable());
  reactor_->Turn(kAll);
  EXPECT_EQ(target_->turns, 2);
}

TEST_F(ReactorTest, NoMoreIsRunThanIsAskedFor) {
  const Reactor::Id first = reactor_->Add(target_);
  const Reactor::Id second = reactor_->Add(other_);
  std::vector<size_t> allowed;
  target_->on_turn = other_->on_turn = [&](size_t max) {
    allowed.push_back(max);
    return 2;
  };
  reactor_->Schedule(first);
  reactor_->Schedule(second);
  EXPECT_EQ(reactor_->Turn(2), 2u);
  EXPECT_EQ(other_->turns, 0);
  EXPECT_TRUE(IsReadable()) << "the other has still to run";
  EXPECT_EQ(reactor_->Turn(5), 2u);
  EXPECT_FALSE(IsReadable());
  reactor_->Schedule(first);
  reactor_->Schedule(second);
  EXPECT_EQ(reactor_->Turn(5), 4u);
  EXPECT_THAT(allowed, ElementsAre(2, 5, 5, 3));
}

TEST_F(ReactorTest, AnotherThreadWakesWhoWaits) {
  const Reactor::Id id = reactor_->Add(target_);
  std::thread scheduling([&] { reactor_->Schedule(id); });
  WaitUntilReadable();
  scheduling.join();
  EXPECT_EQ(reactor_->Turn(kAll), 1u);
}

TEST_F(ReactorTest, WhatIsScheduledWhileATurnEndsIsNotForgotten) {
  const Reactor::Id first = reactor_->Add(target_);
  const Reactor::Id second = reactor_->Add(other_);
  target_->on_turn = [&](size_t) {
    std::thread([&] { reactor_->Schedule(second); }).join();
    return 1;
  };
  reactor_->Schedule(first);
  reactor_->Turn(kAll);
  EXPECT_EQ(other_->turns, 0);
  EXPECT_TRUE(IsReadable());
  reactor_->Turn(kAll);
  EXPECT_EQ(other_->turns, 1);
}

TEST_F(ReactorTest, WhatAnEventSchedulesRunsInTheSameTurn) {
  const Reactor::Id id = reactor_->Add(target_);
  const Fd event(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(reactor_->Watch(id, 3, event.get(), EPOLLIN | EPOLLET).ok());
  target_->on_ready = [&] { reactor_->Schedule(id); };
  EXPECT_TRUE(IsReadable());
  EXPECT_EQ(reactor_->Turn(kAll), 1u);
  EXPECT_THAT(target_->ready, ElementsAre(std::pair(3u, static_cast<uint32_t>(EPOLLIN))));
  EXPECT_EQ(target_->turns, 1);
  EXPECT_FALSE(IsReadable());
  reactor_->Unwatch(event.get());
}

TEST_F(ReactorTest, ATimeThatComesMakesItReadable) {
  SteadyNs fired_at = 0;
  const SteadyNs when = NowNs() + 2'000'000;
  reactor_->AddTimer(when, [&] { fired_at = NowNs(); });
  WaitUntilReadable();
  reactor_->Turn(kAll);
  EXPECT_GE(fired_at, when);
  EXPECT_FALSE(IsReadable());
}

TEST_F(ReactorTest, WhoIsRemovedHasNoTurn) {
  const Reactor::Id first = reactor_->Add(target_);
  const Reactor::Id second = reactor_->Add(other_);
  bool fired = false;
  const Reactor::Id timer = reactor_->AddTimer(0, [&] { fired = true; });
  reactor_->Schedule(first);
  reactor_->Schedule(second);
  reactor_->Remove(first);
  reactor_->Remove(timer);
  reactor_->Schedule(first);
  EXPECT_EQ(reactor_->Turn(kAll), 1u);
  EXPECT_EQ(target_->turns, 0);
  EXPECT_EQ(target_.use_count(), 1);
  EXPECT_FALSE(fired);
}

TEST_F(ReactorTest, ATurnInATurnDoesNothing) {
  const Reactor::Id id = reactor_->Add(target_);
  const Reactor::Id second = reactor_->Add(other_);
  size_t inner = 1;
  EXPECT_FALSE(reactor_->IsCurrent());
  target_->on_turn = [&](size_t) {
    EXPECT_TRUE(reactor_->IsCurrent());
    reactor_->Schedule(second);
    inner = reactor_->Turn(kAll);
    return 1;
  };
  reactor_->Schedule(id);
  reactor_->Turn(kAll);
  EXPECT_EQ(inner, 0u);
  EXPECT_EQ(other_->turns, 0);
}

// It may be removed by what runs in a turn of another one, without waiting for itself.
TEST_F(ReactorTest, ATurnOfAnotherOneMayBeTaken) {
  const std::shared_ptr<Reactor> outer = *Reactor::Create();
  const Reactor::Id id = reactor_->Add(target_);
  Reactor::Id outer_id = 0;
  target_->on_turn = [&](size_t) {
    outer->Remove(outer_id);
    return 1;
  };
  other_->on_turn = [&](size_t max) {
    reactor_->Schedule(id);
    return reactor_->Turn(max);
  };
  outer_id = outer->Add(other_);
  outer->Schedule(outer_id);
  EXPECT_EQ(outer->Turn(kAll), 1u);
  EXPECT_EQ(target_->turns, 1);
}

TEST_F(ReactorTest, RemoveWaitsForACallInAnotherThread) {
  const Reactor::Id id = reactor_->Add(target_);
  std::atomic<bool> began{false};
  std::atomic<bool> ended{false};
  target_->on_turn = [&](size_t) {
    began = true;
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    ended = true;
    return 1;
  };
  reactor_->Schedule(id);
  std::thread turning([&] { reactor_->Turn(kAll); });
  while (!began) std::this_thread::yield();
  reactor_->Remove(id);
  EXPECT_TRUE(ended);
  turning.join();
}

using ReactorDeathTest = ReactorTest;

TEST_F(ReactorDeathTest, ASecondThreadIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Reactor::Id id = reactor_->Add(target_);
  target_->on_turn = [&](size_t) {
    std::thread([&] { reactor_->Turn(kAll); }).join();
    return 1;
  };
  reactor_->Schedule(id);
  EXPECT_DEATH(reactor_->Turn(kAll), "other_thread");
}

}  // namespace
}  // namespace nearcall::base
