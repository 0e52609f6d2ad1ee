// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/handler_slots.h"

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

TEST(HandlerSlotsTest, WhereUsersShareEachTakesOfItsOwnPart) {
  constexpr uid_t kAnna = 1001;
  constexpr uid_t kBert = 1002;
  const auto quota = std::make_shared<base::Quota>(base::Quota::Totals{.places = 8}, std::vector{kAnna, kBert}, 500);
  const auto anna = quota->AccountOf(kAnna);
  const auto bert = quota->AccountOf(kBert);
  HandlerSlots slots(8, true);
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(slots.TryTake(true, anna.get()));
  EXPECT_FALSE(slots.TryTake(true, anna.get()));
  EXPECT_TRUE(slots.TryTake(false, bert.get()));
  EXPECT_FALSE(slots.TryTake(false, bert.get())) << "the last place";
  EXPECT_TRUE(slots.TryTake(true, bert.get()));
  for (int i = 0; i < 6; ++i) slots.Give(anna.get());
  for (int i = 0; i < 2; ++i) slots.Give(bert.get());
  EXPECT_EQ(slots.taken(), 0u);
  EXPECT_EQ(anna->places.taken().word + bert->places.taken().word, 0u);
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
