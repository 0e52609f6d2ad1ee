// SPDX-License-Identifier: Apache-2.0
#include "base/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace nearcall::base {
namespace {

TEST(MutexTest, LetsOneIn) {
  Mutex mutex;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10'000; ++j) {
        MutexLock lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 40'000);
}

TEST(CondVarTest, WaitsWithoutHoldingTheMutexAndHoldsItAfterwards) {
  Mutex mutex;
  CondVar changed;
  int step = 0;
  std::thread other([&] {
    MutexLock lock(mutex);
    while (step != 1) changed.Wait(mutex);
    step = 2;
    changed.NotifyAll();
  });
  {
    MutexLock lock(mutex);
    step = 1;
    changed.NotifyAll();
    while (step != 2) changed.Wait(mutex);
  }
  other.join();
  EXPECT_EQ(step, 2);
}

TEST(CondVarTest, ReturnsAtTheGivenTime) {
  Mutex mutex;
  CondVar changed;
  MutexLock lock(mutex);
  const SteadyNs until = NowNs() + 2'000'000;
  while (NowNs() < until) changed.WaitUntil(mutex, until);
  EXPECT_GE(NowNs(), until);
}

TEST(CondVarTest, ATimeThatHasPassedDoesNotWait) {
  Mutex mutex;
  CondVar changed;
  MutexLock lock(mutex);
  changed.WaitUntil(mutex, 0);
  changed.WaitUntil(mutex, NowNs() - 1);
}

TEST(CondVarTest, NeverIsNoTime) {
  Mutex mutex;
  CondVar changed;
  bool told = false;
  std::thread other([&] {
    MutexLock lock(mutex);
    told = true;
    changed.NotifyOne();
  });
  {
    MutexLock lock(mutex);
    while (!told) changed.WaitUntil(mutex, kNever);
  }
  other.join();
}

}  // namespace
}  // namespace nearcall::base
