#include "rpc/handler_slots.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace nearcall::rpc {
namespace {

TEST(HandlerSlotsTest, TheLastPlaceIsForUrgentCalls) {
  HandlerSlots slots(3);
  EXPECT_TRUE(slots.TryTake(false));
  EXPECT_TRUE(slots.TryTake(false));
  EXPECT_FALSE(slots.TryTake(false));
  EXPECT_TRUE(slots.TryTake(true));
  EXPECT_FALSE(slots.TryTake(true));
  EXPECT_EQ(slots.taken(), 3u);
}

TEST(HandlerSlotsTest, AGivenPlaceIsTakenAgain) {
  HandlerSlots slots(2);
  EXPECT_TRUE(slots.TryTake(false));
  slots.Give();
  EXPECT_EQ(slots.taken(), 0u);
  EXPECT_TRUE(slots.TryTake(false));
}

TEST(HandlerSlotsTest, UrgentCallsTakeOrdinaryPlacesToo) {
  HandlerSlots slots(2);
  EXPECT_TRUE(slots.TryTake(true));
  EXPECT_FALSE(slots.TryTake(false));
  EXPECT_TRUE(slots.TryTake(true));
}

TEST(HandlerSlotsTest, AnOnlyPlaceIsForAll) {
  HandlerSlots slots(1);
  EXPECT_TRUE(slots.TryTake(false));
  EXPECT_FALSE(slots.TryTake(true));
}

TEST(HandlerSlotsTest, ManyThreadsNeverTakeMoreThanThereAre) {
  HandlerSlots slots(3);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 5000; ++j) {
        if (!slots.TryTake(i % 2 == 0)) continue;
        const int now = ++inside;
        if (now > most) most = now;
        --inside;
        slots.Give();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most.load(), 3);
  EXPECT_EQ(slots.taken(), 0u);
}

}  // namespace
}  // namespace nearcall::rpc
