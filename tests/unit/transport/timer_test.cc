// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "process.h"
#include "transport/control.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kMs = 1'000'000;

base::SteadyNs In(int64_t milliseconds) {
  return base::AddNs(base::NowNs(), milliseconds * kMs);
}

TEST(TimerTest, FiresOnceAndNotBeforeItsTime) {
  const base::SteadyNs when = In(20);
  base::SteadyNs fired_at = 0;
  int count = 0;
  Event fired;
  const auto timer = StartTimer(when, [&] {
    fired_at = base::NowNs();
    ++count;
    fired.Set();
  });
  fired.Wait();
  EXPECT_GE(fired_at, when);
  EXPECT_EQ(count, 1);
}

TEST(TimerTest, OneWhoseTimeHasPassedFiresAtOnce) {
  for (const base::SteadyNs when : {base::SteadyNs{0}, base::SteadyNs{-5}, base::NowNs() - 1}) {
    Event fired;
    const auto timer = StartTimer(when, [&] { fired.Set(); });
    fired.Wait();
  }
}

TEST(TimerTest, FiresInTheOrderOfTime) {
  std::vector<int> order;
  Event all;
  const base::SteadyNs now = base::NowNs();
  const auto add = [&](int number) {
    return StartTimer(now + 50 * kMs + number, [&order, &all, number] {
      order.push_back(number);
      if (order.size() == 3) all.Set();
    });
  };
  const auto second = add(2);
  const auto third = add(3);
  const auto first = add(1);
  all.Wait();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(TimerTest, AnEarlierOneIsNotHeldUpByALaterOne) {
  const auto never = StartTimer(base::kNever, [] {});
  const auto later = StartTimer(In(3'600'000), [] {});
  Event fired;
  const auto timer = StartTimer(In(1), [&] { fired.Set(); });
  fired.Wait();
}

TEST(TimerTest, TheNextOneFiresAfterTheEarliestWasCancelled) {
  auto first = StartTimer(In(10), [] { ADD_FAILURE() << "cancelled"; });
  Event fired;
  const auto second = StartTimer(In(20), [&] { fired.Set(); });
  first->reset();
  fired.Wait();
}

TEST(TimerTest, ACancelledOneDoesNotFire) {
  for (int i = 0; i < 200; ++i) {
    std::atomic<bool> cancelled{false};
    auto timer = StartTimer(base::NowNs() + i * 1000, [&] { EXPECT_FALSE(cancelled.load()); });
    timer->reset();
    cancelled = true;
  }
}

TEST(TimerTest, CancellingWaitsForTheRunningCallback) {
  const auto another_use = StartTimer(base::kNever, [] {});  // else the end of the thread is waited for
  Event running;
  std::atomic<bool> ended{false};
  auto timer = StartTimer(0, [&] {
    running.Set();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ended = true;
  });
  running.Wait();
  timer->reset();
  EXPECT_TRUE(ended);
}

TEST(TimerTest, MayBeDestroyedWithinItsOwnCallback) {
  std::unique_ptr<Timer> timer;
  Event assigned;
  Event done;
  timer = StartTimer(0, [&] {
            assigned.Wait();
            timer.reset();
            done.Set();
          }).value();
  assigned.Set();
  done.Wait();
}

TEST(TimerTest, ACallbackMayStartAndCancelOthers) {
  std::unique_ptr<Timer> other = StartTimer(base::kNever, [] {}).value();
  std::unique_ptr<Timer> next;
  Event done;
  const auto timer = StartTimer(0, [&] {
    other.reset();
    next = StartTimer(0, [&] { done.Set(); }).value();
  });
  done.Wait();
}

TEST(TimerTest, WhatACallbackOwnsMayUseTimers) {
  // Destroyed with the timer, by whichever thread, under no lock of the monitor.
  for (const bool fires : {true, false}) {
    std::shared_ptr<Timer> owned = StartTimer(base::kNever, [] {}).value();
    Event fired;
    const auto timer = StartTimer(fires ? 0 : base::kNever, [&fired, kept = std::move(owned)] { fired.Set(); });
    if (fires) fired.Wait();
  }
}

TEST(TimerTest, ManyThreadsComeAndGo) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 100; ++round) {
        Event fired;
        const auto timer = StartTimer(base::NowNs() + 1000, [&] { fired.Set(); });
        const auto cancelled = StartTimer(base::NowNs() + 50'000, [] {});
        fired.Wait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(TimerTest, AnAvalancheOfDueTimersIsWorkedOff) {
  std::atomic<int> count{0};
  Event all;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 1000; ++i) {
    timers.push_back(StartTimer(0, [&] {
                       if (++count == 1000) all.Set();
                     }).value());
  }
  all.Wait();
}

TEST(TimerTest, TheUsersSignalsAreNotTakenOnTheMonitorsThread) {
  sigset_t blocked;
  Event done;
  const auto timer = StartTimer(0, [&] {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    done.Set();
  });
  done.Wait();
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) EXPECT_EQ(::sigismember(&blocked, signal), 1);
}

TEST(TimerTest, WithoutDescriptorsNamesTheLimit) {
  const NoMoreDescriptors limit(1);
  const absl::Status error = StartTimer(0, [] {}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("RLIMIT_NOFILE is "));
}

}  // namespace
}  // namespace nearcall::transport::testing
