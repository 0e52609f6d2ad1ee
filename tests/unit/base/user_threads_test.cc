// SPDX-License-Identifier: Apache-2.0
#include "base/user_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/yield.h"
#include "unit/base/function_task.h"

namespace nearcall::base {
namespace {

using ::testing::ElementsAre;
using testing::FunctionTask;

constexpr int64_t kPatienceNs = 20'000'000'000;

class UserThreadsTest : public ::testing::Test {
 protected:
  explicit UserThreadsTest(size_t max_threads = 4) : threads_(std::make_shared<UserThreads>("test", max_threads)) {}
  ~UserThreadsTest() override { threads_->Join(); }

  void Post(std::function<void()> function) { threads_->Post(tasks_.emplace_back(std::move(function))); }

  template <typename Condition>
  static bool Becomes(Condition&& condition) {
    const SteadyNs end = NowNs() + kPatienceNs;
    while (!condition() && NowNs() < end) std::this_thread::yield();
    return condition();
  }

  std::list<FunctionTask> tasks_;
  const std::shared_ptr<UserThreads> threads_;
};

TEST_F(UserThreadsTest, RunsTasksInOrderOnOneThread) {
  std::vector<int> order;
  std::set<std::thread::id> ids;
  for (int i = 0; i < 5; ++i) {
    Post([&, i] {
      order.push_back(i);
      ids.insert(std::this_thread::get_id());
    });
  }
  threads_->Join();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(ids.count(std::this_thread::get_id()), 0u);
}

TEST_F(UserThreadsTest, ATaskThatIsStuckIsPassedBy) {
  std::latch stuck(1);
  std::latch next_ran(1);
  Post([&] { stuck.wait(); });
  Post([&] { next_ran.count_down(); });
  next_ran.wait();
  stuck.count_down();
  threads_->Join();
}

TEST_F(UserThreadsTest, ATaskMayEndItsThread) {
  std::latch next_ran(1);
  Post([] { ::pthread_exit(nullptr); });
  Post([&] { next_ran.count_down(); });
  next_ran.wait();
  threads_->Join();
}

TEST_F(UserThreadsTest, OneThatComesLaterToo) {
  std::latch entered(1);
  std::latch stuck(1);
  Post([&] {
    entered.count_down();
    stuck.wait();
  });
  entered.wait();
  std::this_thread::sleep_for(std::chrono::nanoseconds(2 * kStuckUserCodeNs));
  std::latch next_ran(1);
  Post([&] { next_ran.count_down(); });
  next_ran.wait();
  stuck.count_down();
  threads_->Join();
}

TEST_F(UserThreadsTest, ATaskThatIsNotStuckIsNotPassedBy) {
  std::atomic<int> running = 0;
  for (int i = 0; i < 20; ++i) {
    Post([&] {
      EXPECT_EQ(++running, 1);
      std::this_thread::yield();
      --running;
    });
  }
  threads_->Join();
}

TEST_F(UserThreadsTest, ATaskMayPostItself) {
  std::atomic<int> runs = 0;
  FunctionTask* task = nullptr;
  task = &tasks_.emplace_back([&] {
    if (++runs < 3) threads_->Post(*task);
  });
  threads_->Post(*task);
  EXPECT_TRUE(Becomes([&] { return runs == 3; }));
  threads_->Join();
}

TEST_F(UserThreadsTest, ATaskMayPostAnotherAndGetStuck) {
  std::latch next_ran(1);
  Post([&] {
    Post([&] { next_ran.count_down(); });
    next_ran.wait();
  });
  next_ran.wait();
  threads_->Join();
}

TEST_F(UserThreadsTest, JoinWaitsForAllTasks) {
  std::atomic<int> ran = 0;
  std::latch stuck(1);
  Post([&] { stuck.wait(), ++ran; });
  for (int i = 0; i < 5; ++i) Post([&] { ++ran; });
  std::thread joins([&] {
    threads_->Join();
    EXPECT_EQ(ran, 6);
  });
  stuck.count_down();
  joins.join();
}

TEST_F(UserThreadsTest, JoinFromWithinATaskDoesNotWaitForIt) {
  std::latch joined(1);
  Post([&] {
    EXPECT_TRUE(threads_->IsCurrent());
    threads_->Join();
    joined.count_down();
  });
  joined.wait();
  EXPECT_FALSE(threads_->IsCurrent());
  threads_->Join();
}

class BoundedUserThreadsTest : public UserThreadsTest {
 protected:
  BoundedUserThreadsTest() : UserThreadsTest(2) {}
};

TEST_F(BoundedUserThreadsTest, BeyondTheLimitTasksWait) {
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::latch stuck(1);
  for (int i = 0; i < 5; ++i) {
    Post([&] {
      most = std::max<int>(most, ++inside);
      stuck.wait();
      --inside;
    });
  }
  EXPECT_TRUE(Becomes([&] { return inside == 2; }));
  std::this_thread::sleep_for(std::chrono::nanoseconds(5 * kStuckUserCodeNs));
  stuck.count_down();
  threads_->Join();
  EXPECT_EQ(most, 2);
}

class NoUserThreadsTest : public UserThreadsTest {
 protected:
  NoUserThreadsTest() : UserThreadsTest(0) {}
};

TEST_F(NoUserThreadsTest, WhatHasNoThreadRunsHere) {
  std::thread::id ran_on;
  EXPECT_FALSE(threads_->Start().ok());
  Post([&] { ran_on = std::this_thread::get_id(); });
  threads_->RunHere();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

}  // namespace
}  // namespace nearcall::base
