// SPDX-License-Identifier: Apache-2.0
#include "base/semaphore.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/fd.h"
#include "base/futex.h"
#include "support/asleep.h"
#include "support/refused_call.h"

namespace nearcall::base {
namespace {

using testing::AwaitAsleep;

constexpr int64_t kMs = 1'000'000;

// Long enough for any machine: only a wake-up that is lost takes so long.
SteadyNs Patience() {
  return AfterNow(absl::Seconds(30));
}

class SemaphoreTest : public ::testing::Test {
 protected:
  // A thread that is asleep in a Wait() which must end because somebody was heard.
  std::jthread Sleeper() {
    std::atomic<pid_t> tid{0};
    std::jthread sleeper([this, &tid] {
      tid = ::gettid();
      EXPECT_TRUE(Semaphore(word_).Wait(Patience()));
    });
    AwaitAsleep(tid);
    return sleeper;
  }

  std::atomic<uint32_t> word_{0};
  Semaphore semaphore_{word_};
};

TEST_F(SemaphoreTest, ReturnsAtTheGivenTime) {
  const SteadyNs until = NowNs() + 2 * kMs;
  EXPECT_FALSE(semaphore_.Wait(until));
  EXPECT_GE(NowNs(), until);
}

TEST_F(SemaphoreTest, DoesNotWaitForATimeThatHasPassed) {
  EXPECT_FALSE(semaphore_.Wait(0));
  EXPECT_FALSE(semaphore_.Wait(-1));
}

TEST_F(SemaphoreTest, APostIsRemembered) {
  semaphore_.Post();
  EXPECT_TRUE(semaphore_.Wait(kNever));
  EXPECT_FALSE(semaphore_.Wait(0));
}

TEST_F(SemaphoreTest, AnyCountIsTakenAtOnce) {
  for (const uint32_t count : {1u, 2u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    word_ = count;
    EXPECT_TRUE(semaphore_.Wait(kNever)) << count;
    EXPECT_EQ(word_, 0u);
    EXPECT_FALSE(semaphore_.Wait(0)) << count;
  }
}

TEST_F(SemaphoreTest, ACountThatWrapsDoesNoHarm) {
  word_ = 0xffffffff;
  semaphore_.Post();
  EXPECT_FALSE(semaphore_.Wait(NowNs() + kMs));
  semaphore_.Post();
  EXPECT_TRUE(semaphore_.Wait(kNever));
}

TEST_F(SemaphoreTest, APostWakesASleeper) {
  const std::jthread sleeper = Sleeper();
  semaphore_.Post();
}

TEST_F(SemaphoreTest, APostWakesASleeperBesideWhomACountWasPlanted) {
  const std::jthread sleeper = Sleeper();
  word_ = 7;
  semaphore_.Post();
}

// Woken is woken, even if a peer has just taken the count away.
TEST_F(SemaphoreTest, WhoIsWokenWithoutACountDoesNotSleepAgain) {
  const std::jthread sleeper = Sleeper();
  FutexWake(word_, 1, FutexScope::kShared);
}

TEST_F(SemaphoreTest, WhoWasWokenLeavesNoCount) {
  {
    const std::jthread sleeper = Sleeper();
    semaphore_.Post();
  }
  EXPECT_FALSE(semaphore_.Wait(0));
}

// libc's semaphore has there how many wait, and which kind of futex it is.
TEST_F(SemaphoreTest, WhatStandsBesideItsWordIsNotLookedAt) {
  struct {
    std::atomic<uint32_t> word;
    std::atomic<uint32_t> beside[15];
  } page{};
  for (const uint32_t kind : {0u, 0x80u, 0x81u, 0x86u, 0x87u, 0x7f00u, 0xffffffffu}) {
    for (std::atomic<uint32_t>& word : page.beside) word = kind;
    Semaphore semaphore(page.word);
    semaphore.Post();
    EXPECT_TRUE(semaphore.Wait(kNever));
    const SteadyNs until = NowNs() + kMs;
    EXPECT_FALSE(semaphore.Wait(until));
    EXPECT_GE(NowNs(), until) << kind;
  }
}

// The first in the kernel's line may be of the peer's making.
TEST_F(SemaphoreTest, APostToAllWakesAllSleepers) {
  std::vector<std::jthread> sleepers;
  for (int i = 0; i < 3; ++i) sleepers.push_back(Sleeper());
  semaphore_.PostToAll();
}

TEST_F(SemaphoreTest, TwoProcessesMeetThroughMappingsOfTheirOwn) {
  const Fd memory(::memfd_create("semaphore-test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(memory.get(), sizeof(word_)), 0);
  const auto map = [&] {
    return static_cast<std::atomic<uint32_t>*>(
        ::mmap(nullptr, sizeof(word_), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0));
  };
  std::atomic<uint32_t>* const own = map();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(Semaphore(*map()).Wait(Patience()) ? 0 : 1);
  // Until it sleeps, where only the kernel's key of the memory reaches it.
  AwaitAsleep(child);
  Semaphore(*own).Post();
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ::munmap(own, sizeof(word_));
}

// --- a kernel that says what nobody has foreseen ---

// In a process of its own, in which futex(2) with operation `op` fails with `error`. Its exit status.
int WithFailingFutex(uint32_t op, int error, const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    testing::RefuseSystemCalls({.number = SYS_futex, .argument = 1, .mask = 0xffffffff, .value = op}, error);
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

constexpr int kErrors[] = {ENOSYS, EINVAL, EFAULT, EPERM, EOVERFLOW, EAGAIN, EINTR, ETIMEDOUT};

TEST_F(SemaphoreTest, APostThatFailsIsNoMatter) {
  for (const int error : kErrors) {
    EXPECT_EQ(WithFailingFutex(FUTEX_WAKE, error,
                               [this] {
                                 semaphore_.Post();
                                 semaphore_.PostToAll();
                                 return semaphore_.Wait(kNever);
                               }),
              0)
        << error;
  }
}

TEST_F(SemaphoreTest, AWaitThatFailsEndsInTime) {
  for (const int error : kErrors) {
    EXPECT_EQ(WithFailingFutex(FUTEX_WAIT_BITSET, error,
                               [this, error] {
                                 const SteadyNs until = NowNs() + 5 * kMs;
                                 if (semaphore_.Wait(until)) return error == EAGAIN;  // there was a count
                                 return error != EAGAIN && NowNs() >= until;
                               }),
              0)
        << error;
  }
}

TEST_F(SemaphoreTest, AWaitThatFailsIsNoSpin) {
  EXPECT_EQ(WithFailingFutex(FUTEX_WAIT_BITSET, ENOSYS,
                             [this] {
                               semaphore_.Wait(NowNs() + 30 * kMs);
                               rusage usage;
                               ::getrusage(RUSAGE_THREAD, &usage);
                               return usage.ru_nvcsw > 0;
                             }),
            0);
}

}  // namespace
}  // namespace nearcall::base
