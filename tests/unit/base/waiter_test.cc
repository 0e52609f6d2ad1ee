// SPDX-License-Identifier: Apache-2.0
#include "base/waiter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace nearcall::base {
namespace {

constexpr int64_t kMs = 1'000'000;

// Long enough for any machine: only a wake-up that is lost takes so long.
SteadyNs Patience() {
  return AfterNow(absl::Seconds(30));
}

TEST(WaiterTest, IsNotFinishedAtFirst) {
  const Waiter waiter;
  EXPECT_FALSE(waiter.finished());
}

TEST(WaiterTest, DoesNotWaitForWhatHasHappened) {
  Waiter waiter;
  waiter.Finish();
  waiter.Wait(kNever);
  waiter.Wait(kNever);
  EXPECT_TRUE(waiter.finished());
}

TEST(WaiterTest, ReturnsAtTheGivenTime) {
  Waiter waiter;
  const SteadyNs until = NowNs() + 2 * kMs;
  waiter.Wait(until);
  EXPECT_GE(NowNs(), until);
  EXPECT_FALSE(waiter.finished());
}

TEST(WaiterTest, DoesNotWaitForATimeThatHasPassed) {
  Waiter waiter;
  waiter.Wait(0);
  waiter.Wait(-1);
  EXPECT_FALSE(waiter.finished());
}

TEST(WaiterTest, APokeCountsOnceAndIsForgotten) {
  Waiter waiter;
  waiter.Poke();
  waiter.Poke();
  waiter.Wait(kNever);
  const SteadyNs until = NowNs() + kMs;
  waiter.Wait(until);
  EXPECT_GE(NowNs(), until);
}

TEST(WaiterTest, APokeDoesNotFinish) {
  Waiter waiter;
  waiter.Poke();
  waiter.Wait(kNever);
  EXPECT_FALSE(waiter.finished());
}

TEST(WaiterTest, APokeAfterTheEndIsHarmless) {
  Waiter waiter;
  waiter.Finish();
  waiter.Poke();
  waiter.Wait(kNever);
  EXPECT_TRUE(waiter.finished());
}

TEST(WaiterTest, WhatWasWrittenBeforeFinishIsSeenAfterIt) {
  for (int i = 0; i < 2000; ++i) {
    Waiter waiter;
    int outcome = 0;  // not atomic: ThreadSanitizer looks
    std::thread other([&] {
      outcome = 42;
      waiter.Finish();
    });
    while (!waiter.finished()) waiter.Wait(Patience());
    EXPECT_EQ(outcome, 42);
    other.join();
  }
}

// Every poke follows a change of `told`: whoever misses one sleeps through it.
TEST(WaiterTest, NoPokeIsLost) {
  constexpr int kPokers = 4;
  constexpr int kPokes = 5000;
  Waiter waiter;
  std::atomic<int> told{0};
  std::vector<std::thread> pokers;
  for (int i = 0; i < kPokers; ++i) {
    pokers.emplace_back([&] {
      for (int j = 0; j < kPokes; ++j) {
        told.fetch_add(1);
        waiter.Poke();
      }
    });
  }
  const SteadyNs end = Patience();
  while (told.load() < kPokers * kPokes && NowNs() < end) waiter.Wait(end);
  EXPECT_EQ(told.load(), kPokers * kPokes);
  for (std::thread& poker : pokers) poker.join();
}

TEST(WaiterTest, TwoThatPokeEachOtherBothGoOn) {
  constexpr int kTurns = 5000;
  Waiter waiters[2];
  std::atomic<int> turn{0};
  const auto play = [&](int me) {
    for (int i = me; i < kTurns; i += 2) {
      while (turn.load() != i) waiters[me].Wait(Patience());
      turn.store(i + 1);
      waiters[1 - me].Poke();
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(turn.load(), kTurns);
}

// The owner frees the waiter at the moment in which it sees that it has finished: AddressSanitizer looks whether
// Finish() touches it afterwards.
TEST(WaiterTest, MayBeDestroyedAsSoonAsItHasFinished) {
  constexpr int kRounds = 5000;
  std::atomic<Waiter*> shared{nullptr};
  std::thread finisher([&] {
    for (int i = 0; i < kRounds; ++i) {
      Waiter* waiter;
      while ((waiter = shared.exchange(nullptr)) == nullptr) std::this_thread::yield();
      waiter->Finish();
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    auto waiter = std::make_unique<Waiter>();
    shared.store(waiter.get());
    // Some see it without waiting, some after it.
    while (!waiter->finished()) {
      if (i % 2 == 0) {
        waiter->Wait(Patience());
      } else {
        std::this_thread::yield();
      }
    }
  }
  finisher.join();
}

}  // namespace
}  // namespace nearcall::base
