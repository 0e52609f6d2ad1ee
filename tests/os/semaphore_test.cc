#include <gtest/gtest.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/clock.h"
#include "base/fd.h"
#include "os/child.h"

// sem_t in shared memory: what carries the signals of the shm transport.
namespace nearcall::testing {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

// A semaphore in a memfd, seen through a mapping of its own by each who asks.
class SemaphoreTest : public ::testing::Test {
 protected:
  SemaphoreTest() : fd_(::memfd_create("os-test", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(fd_.get(), sizeof(sem_t)), 0);
    one_ = Map();
    other_ = Map();
    EXPECT_NE(one_, other_);
    EXPECT_EQ(::sem_init(one_, 1, 0), 0);
  }
  ~SemaphoreTest() override {
    ::munmap(one_, sizeof(sem_t));
    ::munmap(other_, sizeof(sem_t));
  }

  sem_t* Map() const {
    return static_cast<sem_t*>(::mmap(nullptr, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0));
  }

  static bool Wait(sem_t* semaphore, int64_t for_ns) {
    const timespec until = base::ToTimespec(base::NowNs() + for_ns);
    return ::sem_clockwait(semaphore, CLOCK_MONOTONIC, &until) == 0;
  }

  base::Fd fd_;
  sem_t* one_;
  sem_t* other_;
};

TEST_F(SemaphoreTest, APostIsSeenThroughAnotherMapping) {
  ::sem_post(one_);
  EXPECT_TRUE(Wait(other_, 0));
  EXPECT_FALSE(Wait(other_, 0));
  EXPECT_EQ(errno, ETIMEDOUT);
}

TEST_F(SemaphoreTest, APostWakesAnotherProcess) {
  Child child([&] { return Wait(Map(), 10 * kSecondNs) ? 0 : 1; });
  ::sem_post(one_);
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(SemaphoreTest, AnotherProcessWakesUs) {
  Child child([&] { return ::sem_post(Map()); });
  EXPECT_TRUE(Wait(one_, 10 * kSecondNs));
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(SemaphoreTest, AWaiterThatWasKilledTakesNoTokenWithIt) {
  Child child([&] { return Wait(Map(), 30 * kSecondNs) ? 0 : 1; });
  const auto* waiters = reinterpret_cast<const uint32_t*>(one_) + 1;
  while (__atomic_load_n(waiters, __ATOMIC_ACQUIRE) == 0) ::sched_yield();  // until it is registered
  child.Kill();
  ::sem_post(one_);
  EXPECT_TRUE(Wait(other_, 0));
}

TEST_F(SemaphoreTest, AFullSemaphoreSaysSo) {
  ASSERT_EQ(::sem_init(one_, 1, SEM_VALUE_MAX), 0);
  EXPECT_EQ(::sem_post(one_), -1);
  EXPECT_EQ(errno, EOVERFLOW);
}

}  // namespace
}  // namespace nearcall::testing
