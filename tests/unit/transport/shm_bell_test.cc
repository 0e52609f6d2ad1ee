// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "support/asleep.h"
#include "transport/doorbell.h"
#include "transport/shm/event_bell.h"
#include "transport/shm/layout.h"
#include "transport/shm/semaphore_bell.h"
#include "transport/shm/shm_transport.h"

namespace nearcall::transport::shm {
namespace {

using nearcall::testing::AwaitAsleep;

constexpr base::SteadyNs kAtOnce = 0;

class SemaphoreBellTest : public ::testing::Test {
 protected:
  std::atomic<uint32_t>& word() { return *reinterpret_cast<std::atomic<uint32_t>*>(page_); }

  alignas(64) std::byte page_[64] = {};
  SemaphoreBell bell_{page_};
};

TEST_F(SemaphoreBellTest, ManyRingsAreHeardOnce) {
  for (int i = 0; i < 10; ++i) bell_.Ring();
  EXPECT_TRUE(bell_.Wait(base::kNever));
  EXPECT_FALSE(bell_.Wait(kAtOnce));
}

TEST_F(SemaphoreBellTest, IsOneWordAtTheStartOfItsPage) {
  bell_.Ring();
  EXPECT_EQ(word(), 1u);
  const std::byte nothing[sizeof(page_) - 4] = {};
  EXPECT_EQ(std::memcmp(page_ + 4, nothing, sizeof(nothing)), 0);
}

TEST_F(SemaphoreBellTest, InterruptWakesWhateverThePeerHasWritten) {
  for (const uint32_t value : {0u, 1u, 0x7f7f7f7fu, 0xffffffffu}) {
    std::atomic<pid_t> tid{0};
    std::thread waiter([&] {
      tid = ::gettid();
      EXPECT_TRUE(bell_.Wait(base::kNever));
    });
    AwaitAsleep(tid);
    word().store(value, std::memory_order_relaxed);
    bell_.Interrupt();
    waiter.join();
  }
}

class EventBellTest : public ::testing::Test {
 protected:
  void SetUp() override {
    base::Fd fd = *CreateDoorbell();
    peers_ = base::Duplicate(fd.get());
    bell_ = std::make_unique<EventBell>(std::move(fd));
  }

  std::unique_ptr<EventBell> bell_;
  base::Fd peers_;
};

TEST_F(EventBellTest, EachRingIsHeardInEpollThoughNobodyReadsIt) {
  const base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, bell_->fd(), &event), 0);
  EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 0);
  for (int i = 0; i < 5; ++i) {
    bell_->Ring();
    EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, -1), 1);
    EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 0);
  }
}

TEST_F(EventBellTest, AFullCounterDoesNotBlock) {
  const uint64_t full = ~uint64_t{0} - 1;
  ASSERT_EQ(::write(peers_.get(), &full, sizeof(full)), 8);
  bell_->Ring();
}

TEST_F(EventBellTest, WhoIsBlockedByAHostileOwnerIsFreed) {
  const uint64_t full = ~uint64_t{0} - 1;
  ASSERT_EQ(::write(peers_.get(), &full, sizeof(full)), 8);
  ASSERT_EQ(::fcntl(peers_.get(), F_SETFL, 0), 0);
  std::atomic<bool> done{false};
  std::thread ringer([&] {
    bell_->Ring();
    done = true;
  });
  while (!done) {
    bell_->Unblock();
    std::this_thread::yield();
  }
  ringer.join();
}

TEST_F(EventBellTest, UnblockTakesNothingFromAnIdleBell) {
  bell_->Ring();
  bell_->Unblock();
  uint64_t count = 0;
  EXPECT_EQ(::read(peers_.get(), &count, sizeof(count)), 8);
  EXPECT_EQ(count, 1U);
}

// One thread rings while another interrupts a sleeper of the same end: the peer hears the ring nevertheless.
TEST_F(EventBellTest, UnblockTakesNothingFromARingThatIsUnderWay) {
  std::atomic<bool> done{false};
  std::thread unblocker([&] {
    while (!done) bell_->Unblock();
  });
  int unheard = 0;
  for (int i = 0; i < 20'000; ++i) {
    bell_->Ring();
    uint64_t count = 0;
    if (::read(peers_.get(), &count, sizeof(count)) != 8) ++unheard;
  }
  done = true;
  unblocker.join();
  EXPECT_EQ(unheard, 0);
}

// A client's end in ordinary memory, with a peer that only rings.
class RungInVainTest : public SemaphoreBellTest {
 protected:
  static constexpr size_t kRing = base::kMinRingSize;

  RungInVainTest() : own_(RingOffset() + kRing), peer_(RingOffset() + kRing) {
    transport_ = std::make_unique<ShmTransport>(ShmEnd{.own_region = own_.bytes(),
                                                       .peer_region = peer_.bytes(),
                                                       .own_bell = std::make_unique<SemaphoreBell>(page_),
                                                       .peer_bell = std::make_unique<SemaphoreBell>(page_),
                                                       .memory = {}});
  }

  // Waits for `time_ns`, and says how often it was woken.
  int CountWakes(int64_t time_ns) {
    const base::SteadyNs end = base::NowNs() + time_ns;
    int wakes = 0;
    while (base::NowNs() < end) {
      EXPECT_FALSE(transport_->Arm(Transport::kFrames, 0));
      transport_->Wait(end);
      transport_->Disarm();
      ++wakes;
    }
    return wakes;
  }

  // A page-aligned, zeroed region.
  class Region {
   public:
    explicit Region(size_t size) : words_(size / 8 + 512) {}
    std::span<std::byte> bytes() {
      const size_t skip = (4096 - reinterpret_cast<uintptr_t>(words_.data()) % 4096) % 4096;
      return std::as_writable_bytes(std::span(words_)).subspan(skip, words_.size() * 8 - 4096);
    }

   private:
    std::vector<uint64_t> words_;
  };

  Region own_;
  Region peer_;
  std::unique_ptr<ShmTransport> transport_;
};

TEST_F(RungInVainTest, APlantedCountIsOneRing) {
  word() = 0xffffffff;
  EXPECT_LT(CountWakes(20'000'000), 4);
}

TEST_F(RungInVainTest, AFewRingsTooManyAreNoStorm) {
  for (int i = 0; i < 1500; ++i) {
    bell_.Ring();
    ASSERT_FALSE(transport_->Arm(Transport::kFrames, 0));
    transport_->Wait(base::kNever);
    transport_->Disarm();
    if (i % 100 == 0) reinterpret_cast<ControlPage*>(peer_.bytes().data())->head.fetch_add(64);
  }
  EXPECT_LT(CountWakes(5'000'000), 3);
}

// What a peer's bell says to who listens, and to who only looks, and how often it was asked.
struct Hearsay {
  bool rung = true;
  bool rung_after_nap = true;
  int waits = 0;
  int looks = 0;
};

class ToldBell final : public Bell {
 public:
  explicit ToldBell(Hearsay& hearsay) : hearsay_(hearsay) {}

  void Ring() override {}
  bool Wait(base::SteadyNs until) override {
    ++(until == 0 ? hearsay_.looks : hearsay_.waits);
    return until == 0 ? hearsay_.rung_after_nap : hearsay_.rung;
  }
  bool can_wait() const override { return true; }
  int fd() const override { return -1; }
  void Interrupt() override {}
  void Unblock() override {}

 private:
  Hearsay& hearsay_;
};

class HearsayTest : public RungInVainTest {
 protected:
  HearsayTest() {
    transport_ = std::make_unique<ShmTransport>(ShmEnd{.own_region = own_.bytes(),
                                                       .peer_region = peer_.bytes(),
                                                       .own_bell = std::make_unique<ToldBell>(hearsay_),
                                                       .peer_bell = std::make_unique<ToldBell>(hearsay_),
                                                       .memory = {}});
  }

  void Wait(int times) {
    for (int i = 0; i < times; ++i) {
      EXPECT_FALSE(transport_->Arm(Transport::kFrames, 0));
      transport_->Wait(base::kNever);
      transport_->Disarm();
    }
  }

  Hearsay hearsay_;
};

TEST_F(HearsayTest, WhoRingsWithoutEndIsNotListenedTo) {
  Wait(1050);
  EXPECT_EQ(hearsay_.waits, 1001);
}

// A nap at whose end he happens to be quiet does not make him honest.
TEST_F(HearsayTest, WhoTakesHisCountsAwayIsNotListenedToEither) {
  hearsay_.rung_after_nap = false;
  Wait(1001 + 120);
  EXPECT_GE(hearsay_.looks, 10);
}

TEST_F(HearsayTest, WhoIsQuietAfterAStormIsListenedToAgain) {
  Wait(1010);
  hearsay_.rung = hearsay_.rung_after_nap = false;
  Wait(100);
  EXPECT_EQ(hearsay_.waits, 1001 + 99);
}

// However many: the waiter never sleeps where it has been rung for something.
TEST_F(RungInVainTest, RingsWithAReasonAreNoStorm) {
  auto& peers_head = reinterpret_cast<ControlPage*>(peer_.bytes().data())->head;
  rusage before;
  rusage after;
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &before), 0);
  for (int i = 0; i < 1500; ++i) {
    ASSERT_FALSE(transport_->Arm(Transport::kFrames, 0));
    peers_head.fetch_add(64);
    bell_.Ring();
    transport_->Wait(base::kNever);
    transport_->Disarm();
  }
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &after), 0);
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 100) << "it naps";
}

}  // namespace
}  // namespace nearcall::transport::shm
