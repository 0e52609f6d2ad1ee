// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/futex.h"
#include "os/child.h"
#include "support/asleep.h"

// futex(2) in shared memory: what carries the signals of the shm transport.
namespace nearcall::testing {
namespace {

using base::FutexScope;

constexpr int64_t kSecondNs = 1'000'000'000;

// A word in a memfd, seen through a mapping of its own by each who asks.
class FutexTest : public ::testing::Test {
 protected:
  using Word = std::atomic<uint32_t>;

  FutexTest() : fd_(::memfd_create("os-test", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(fd_.get(), sizeof(Word)), 0);
    one_ = Map();
    other_ = Map();
    EXPECT_NE(one_, other_);
  }
  ~FutexTest() override {
    ::munmap(one_, sizeof(Word));
    ::munmap(other_, sizeof(Word));
  }

  Word* Map() const {
    return static_cast<Word*>(::mmap(nullptr, sizeof(Word), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0));
  }

  // 0 or an errno.
  static int Wait(Word* word, int64_t for_ns) {
    return base::FutexWait(*word, 0, base::NowNs() + for_ns, FutexScope::kShared);
  }

  base::Fd fd_;
  Word* one_;
  Word* other_;
};

TEST_F(FutexTest, AnotherValueIsNotWaitedFor) {
  *one_ = 1;
  EXPECT_EQ(Wait(other_, 10 * kSecondNs), EAGAIN);
}

TEST_F(FutexTest, TheTimeIsAbsoluteAndOfTheSteadyClock) {
  const base::SteadyNs until = base::NowNs() + 2'000'000;
  EXPECT_EQ(base::FutexWait(*one_, 0, until, FutexScope::kShared), ETIMEDOUT);
  EXPECT_GE(base::NowNs(), until);
  EXPECT_EQ(base::FutexWait(*one_, 0, until, FutexScope::kShared), ETIMEDOUT);
}

TEST_F(FutexTest, AWakeReachesAnotherProcess) {
  Child child([&] { return Wait(Map(), 10 * kSecondNs); });
  AwaitAsleep(child.pid());
  base::FutexWake(*one_, 1, FutexScope::kShared);
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(FutexTest, AWaiterThatWasKilledTakesNoWakeWithIt) {
  Child killed([&] { return Wait(Map(), 30 * kSecondNs); });
  AwaitAsleep(killed.pid());
  Child child([&] { return Wait(Map(), 10 * kSecondNs); });
  AwaitAsleep(child.pid());
  killed.Kill();
  base::FutexWake(*one_, 1, FutexScope::kShared);
  EXPECT_EQ(child.Wait(), 0);
}

// So a peer can make our wakes fail, and what they return is not to be believed.
TEST_F(FutexTest, AWakeFailsWhereSomebodyWaitsToBeRequeuedToALock) {
  std::atomic<uint32_t> lock{0};
  std::atomic<pid_t> id{0};
  const timespec until = base::ToTimespec(base::NowNs() + kSecondNs / 2);
  std::jthread waiter([&] {
    id = ::gettid();
    ::syscall(SYS_futex, one_, FUTEX_WAIT_REQUEUE_PI, 0, &until, &lock, 0);
  });
  AwaitAsleep(id);
  EXPECT_EQ(::syscall(SYS_futex, other_, FUTEX_WAKE, 1, nullptr, nullptr, 0), -1);
  EXPECT_EQ(errno, EINVAL);
}

}  // namespace
}  // namespace nearcall::testing
