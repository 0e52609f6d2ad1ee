// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "support/sanitizers.h"

namespace nearcall::rpc {
namespace {

// Holds tasks until it is opened, and counts those who are there.
class Gate {
 public:
  void Pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void WaitFor(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

TEST(ThreadPoolTest, HasNoThreadAtFirst) {
  const ThreadPool pool(3);
  EXPECT_EQ(pool.threads(), 0u);
}

TEST(ThreadPoolTest, RunsTasksAtOnceAndSideBySide) {
  Gate gate;
  ThreadPool pool(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.TryRun([&] { gate.Pass(); }).ok());
  gate.WaitFor(3);
  EXPECT_EQ(pool.threads(), 3u);
  gate.Open();
}

TEST(ThreadPoolTest, RefusesATaskWhenAllThreadsAreBusy) {
  Gate gate;
  ThreadPool pool(1);
  EXPECT_TRUE(pool.TryRun([&] { gate.Pass(); }).ok());
  bool ran = false;
  EXPECT_FALSE(pool.TryRun([&] { ran = true; }).ok());
  gate.Open();
  pool.Join();
  EXPECT_FALSE(ran);
}

TEST(ThreadPoolTest, AnIdleThreadTakesTheNextTask) {
  ThreadPool pool(1);
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) {
    while (!pool.TryRun([&] { ++ran; }).ok()) std::this_thread::yield();
  }
  pool.Join();
  EXPECT_EQ(ran.load(), 100);
}

TEST(ThreadPoolTest, JoinWaitsForEveryTask) {
  for (int i = 0; i < 50; ++i) {
    std::atomic<int> ran{0};
    ThreadPool pool(4);
    int accepted = 0;
    for (int j = 0; j < 8; ++j) accepted += pool.TryRun([&] { ++ran; }).ok();
    pool.Join();
    EXPECT_EQ(ran.load(), accepted);
    EXPECT_EQ(pool.threads(), 0u);
  }
}

TEST(ThreadPoolTest, ATasksCaptureIsDestroyedBeforeJoinReturns) {
  ThreadPool pool(1);
  const auto held = std::make_shared<int>(1);
  ASSERT_TRUE(pool.TryRun([held] {}).ok());
  pool.Join();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ThreadPoolTest, ATaskMayStartATask) {
  Gate gate;
  ThreadPool pool(2);
  ASSERT_TRUE(pool.TryRun([&] { EXPECT_TRUE(pool.TryRun([&] { gate.Pass(); }).ok()); }).ok());
  gate.WaitFor(1);
  gate.Open();
}

// In a child of another user, to whom the limit applies (root is exempt).
TEST(ThreadPoolTest, WithoutAThreadToBeHadATaskIsRefusedAndLaterOnesAreNot) {
  if (nearcall::testing::kSanitizers) GTEST_SKIP() << "sanitizers do not let a forked child make threads";
  const pid_t child = ::fork();
  if (child == 0) {
    rlimit none;
    ::getrlimit(RLIMIT_NPROC, &none);
    const rlimit before = none;
    none.rlim_cur = 1;
    if (::getuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    ThreadPool pool(2);
    if (::setrlimit(RLIMIT_NPROC, &none) != 0) ::_exit(2);
    const bool refused = !pool.TryRun([] {}).ok() && pool.threads() == 0;
    ::setrlimit(RLIMIT_NPROC, &before);
    std::atomic<bool> ran{false};
    const bool accepted = pool.TryRun([&] { ran = true; }).ok();
    pool.Join();
    ::_exit(refused && accepted && ran ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "the limit cannot be set here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace nearcall::rpc
