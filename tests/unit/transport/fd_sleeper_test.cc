// SPDX-License-Identifier: Apache-2.0
#include "transport/fd_sleeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"

namespace nearcall::transport {
namespace {

constexpr int64_t kMs = 1'000'000;

class FdSleeperTest : public ::testing::Test {
 protected:
  FdSleeperTest() {
    std::array<int, 2> fds;
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    readable_.Reset(fds[0]);
    writable_.Reset(fds[1]);
  }

  Transport::WaitFds Fds() const { return {.readable = readable_.get(), .writable = writable_.get()}; }

  // Whether it slept until the time it was given.
  bool SleepsFor(int64_t ns, uint32_t interest) {
    const base::SteadyNs until = base::NowNs() + ns;
    sleeper_->Wait(Fds(), interest, until);
    return base::NowNs() >= until;
  }

  const std::unique_ptr<FdSleeper> sleeper_ = *FdSleeper::Create();
  base::Fd readable_;
  base::Fd writable_;
};

TEST_F(FdSleeperTest, SleepsUntilTheTimeGiven) {
  EXPECT_TRUE(SleepsFor(2 * kMs, Transport::kFrames));
  EXPECT_TRUE(SleepsFor(-kMs, 0)) << "a time that has passed";
}

TEST_F(FdSleeperTest, WakesForWhatIsReadableOrWritable) {
  EXPECT_EQ(::write(writable_.get(), "x", 1), 1);
  sleeper_->Wait(Fds(), Transport::kFrames, base::kNever);
  sleeper_->Wait(Fds(), Transport::kRoom, base::kNever);
}

TEST_F(FdSleeperTest, SleepsThroughWhatNobodyIsInterestedIn) {
  EXPECT_TRUE(SleepsFor(2 * kMs, Transport::kFrames)) << "there is room";
  EXPECT_EQ(::write(writable_.get(), "x", 1), 1);
  EXPECT_TRUE(SleepsFor(2 * kMs, 0)) << "there are room and frames";
}

TEST_F(FdSleeperTest, AnInterruptEndsTheNextWaitAndOnlyThat) {
  sleeper_->Interrupt();
  sleeper_->Interrupt();
  sleeper_->Wait(Fds(), Transport::kFrames, base::kNever);
  EXPECT_TRUE(SleepsFor(2 * kMs, Transport::kFrames));
}

TEST_F(FdSleeperTest, NoInterruptIsLost) {
  constexpr int kRounds = 20'000;
  std::atomic<int> asked{0};
  std::thread other([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (asked.load() < i) std::this_thread::yield();
      sleeper_->Interrupt();
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    asked = i;
    // It may be over at once, by an interrupt that came late.
    sleeper_->Wait({}, 0, base::kNever);
  }
  other.join();
}

}  // namespace
}  // namespace nearcall::transport
