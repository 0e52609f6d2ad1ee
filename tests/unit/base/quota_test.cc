// SPDX-License-Identifier: Apache-2.0
#include "base/quota.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace nearcall::base {
namespace {

using ::testing::HasSubstr;

constexpr uid_t kOwn = 500;
constexpr uid_t kAnna = 1001;
constexpr uid_t kBert = 1002;

std::shared_ptr<Quota> Make(const std::vector<uid_t>& users, const Quota::Totals& totals = {.calls = 8}) {
  return std::make_shared<Quota>(totals, users, kOwn);
}

// How many can be taken, all in all.
size_t TakeAll(Allowance& allowance) {
  size_t count = 0;
  while (allowance.TryTake(Amount::Of(1))) ++count;
  return count;
}

TEST(QuotaTest, TheDefaultListKeepsNothingBack) {
  const auto quota = Make({});
  EXPECT_EQ(TakeAll(quota->AccountOf(kOwn)->memory), 8u);
  EXPECT_FALSE(quota->shared());
}

TEST(QuotaTest, OwnUserAndRootAreOne) {
  for (const auto& list : {std::vector<uid_t>{}, std::vector<uid_t>{kOwn, 0}, std::vector<uid_t>{0}}) {
    const auto quota = Make(list);
    EXPECT_EQ(quota->AccountOf(kOwn), quota->AccountOf(0));
    EXPECT_EQ(TakeAll(quota->AccountOf(0)->memory), 8u);
  }
}

TEST(QuotaTest, HalfIsKeptInEqualSharesAndTheRestIsFirstCome) {
  const auto quota = Make({kAnna, kBert});
  EXPECT_TRUE(quota->shared());
  EXPECT_EQ(TakeAll(quota->AccountOf(kAnna)->memory), 6u) << "her share of 2, and 4 that were first come";
  EXPECT_EQ(TakeAll(quota->AccountOf(kBert)->memory), 2u) << "his share";
}

TEST(QuotaTest, AUserWhoIsListedTwiceHasOneShare) {
  const auto quota = Make({kAnna, kAnna, kBert});
  EXPECT_EQ(TakeAll(quota->AccountOf(kAnna)->memory), 6u);
}

TEST(QuotaTest, WhoIsNotListedHasNoShare) {
  const auto quota = Make({kAnna, kBert});
  EXPECT_EQ(TakeAll(quota->AccountOf(7777)->memory), 4u);
  EXPECT_EQ(quota->AccountOf(7777), quota->AccountOf(8888));
  EXPECT_EQ(TakeAll(quota->AccountOf(kAnna)->memory), 2u);
}

// Those who are served for their groups: nobody knows how many they are.
TEST(QuotaTest, AllWhoAreNotListedAndServedHaveOneShare) {
  const auto quota = std::make_shared<Quota>(Quota::Totals{.calls = 12}, std::vector<uid_t>{kAnna, kBert}, kOwn, true);
  EXPECT_EQ(quota->AccountOf(7777), quota->AccountOf(8888));
  EXPECT_EQ(TakeAll(quota->AccountOf(7777)->memory), 8u) << "a share of 2, and 6 that were first come";
  EXPECT_EQ(TakeAll(quota->AccountOf(kAnna)->memory), 2u);
  EXPECT_EQ(TakeAll(quota->AccountOf(kBert)->memory), 2u);
}

TEST(QuotaTest, TheDefaultListIsKeptFromOthersAndOthersFromIt) {
  const auto quota = std::make_shared<Quota>(Quota::Totals{.calls = 8}, std::vector<uid_t>{}, kOwn, true);
  EXPECT_TRUE(quota->shared());
  EXPECT_THAT(quota->DebugString(), HasSubstr("all users that are not listed: 0 calls"));
  EXPECT_EQ(TakeAll(quota->AccountOf(kOwn)->memory), 6u);
  EXPECT_EQ(TakeAll(quota->AccountOf(7777)->memory), 2u);
}

TEST(QuotaTest, WhatIsGivenBackGoesToThePoolFirst) {
  const auto quota = Make({kAnna, kBert});
  Allowance& anna = quota->AccountOf(kAnna)->memory;
  Allowance& bert = quota->AccountOf(kBert)->memory;
  EXPECT_EQ(TakeAll(anna), 6u);
  EXPECT_EQ(TakeAll(bert), 2u);
  anna.Give(Amount::Of(1));
  EXPECT_TRUE(bert.TryTake(Amount::Of(1)));
  EXPECT_FALSE(anna.TryTake(Amount::Of(1)));
  bert.Give(Amount::Of(1));
  EXPECT_TRUE(anna.TryTake(Amount::Of(1)));
}

TEST(QuotaTest, CallsAndBytesAreBoundedEach) {
  const auto quota = Make({}, {.calls = 3, .bytes = 100});
  Allowance& memory = quota->AccountOf(kOwn)->memory;
  EXPECT_TRUE(memory.TryTake(Amount::Of(1, 100)));
  EXPECT_FALSE(memory.TryTake(Amount::Of(1, 1)));
  EXPECT_TRUE(memory.TryTake(Amount::Of(2, 0)));
  EXPECT_FALSE(memory.TryTake(Amount::Of(1, 0)));
  memory.Give(Amount::Of(1, 100));
  EXPECT_TRUE(memory.TryTake(Amount::Of(1, 50)));
  EXPECT_EQ(memory.taken().count(), 3u);
  EXPECT_EQ(memory.taken().bytes(), 50u);
}

TEST(QuotaTest, WhatIsTakenAnywayIsMissingUntilItIsGiven) {
  const auto quota = Make({}, {.calls = 3, .bytes = 100});
  Allowance& memory = quota->AccountOf(kOwn)->memory;
  EXPECT_FALSE(memory.exhausted());
  memory.TakeAnyway(Amount::Of(0, 150));
  EXPECT_TRUE(memory.exhausted());
  EXPECT_FALSE(memory.TryTake(Amount::Of(0, 1)));
  memory.Give(Amount::Of(0, 150));
  EXPECT_TRUE(memory.TryTake(Amount::Of(0, 100)));
}

TEST(QuotaTest, AChargeIsGivenBackOnce) {
  const auto quota = Make({}, {.calls = 2, .bytes = 10});
  const auto account = quota->AccountOf(kOwn);
  {
    Charge charge;
    EXPECT_TRUE(charge.TryTake(&account->memory, Amount::Of(1, 10)));
    Charge other = std::move(charge);
    Charge refused;
    EXPECT_FALSE(refused.TryTake(&account->memory, Amount::Of(1, 10)));
    EXPECT_TRUE(other.TryTake(&account->memory, Amount::Of(1, 5))) << "instead of what it had";
    EXPECT_EQ(account->memory.taken().bytes(), 5u);
    other = Charge();
    EXPECT_EQ(account->memory.taken().bytes(), 0u);
    EXPECT_TRUE(other.TryTake(&account->memory, Amount::Of(1, 5)));
  }
  EXPECT_EQ(account->memory.taken().word, 0u);
}

TEST(QuotaTest, WithoutAnAllowanceNobodyPays) {
  Charge charge;
  EXPECT_TRUE(charge.TryTake(nullptr, Amount::Of(1, 1 << 30)));
}

TEST(QuotaTest, TheRefusalNamesLimitValueAndRemedy) {
  const auto quota = Make({kAnna, kBert}, {.calls = 8, .bytes = 800, .descriptors = 16});
  const auto account = quota->AccountOf(kAnna);
  EXPECT_TRUE(account->memory.TryTake(Amount::Of(1, 50)));
  const std::string text = account->MemoryRefusal(1000).ToString();
  for (const char* part : {"RESOURCE_EXHAUSTED", "user 1001 has 1 calls", "50 B", "1000 B", "max_total_calls",
                           "max_total_bytes", "6 calls", "600 B"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(account->DescriptorRefusal().ToString(), HasSubstr("max_total_descriptors is at most 12"));
}

TEST(QuotaTest, AnAccountKeepsItsQuota) {
  std::shared_ptr<Account> account = Make({kAnna})->AccountOf(kAnna);
  EXPECT_TRUE(account->memory.TryTake(Amount::Of(8)));
}

TEST(QuotaTest, ThreadsTakeNoMoreThanThereIsAndGiveAllBack) {
  const auto quota = Make({kAnna, kBert}, {.calls = 8, .bytes = 800});
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, account = quota->AccountOf(i % 2 == 0 ? kAnna : kBert)] {
      for (int j = 0; j < 5000; ++j) {
        Charge charge;
        Charge more;
        if (!charge.TryTake(&account->memory, Amount::Of(1, 100))) continue;
        const int now = ++inside;
        if (now > most) most = now;
        static_cast<void>(more.TryTake(&account->memory, Amount::Of(0, 30)));
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most.load(), 8);
  EXPECT_EQ(TakeAll(quota->AccountOf(kAnna)->memory), 6u);
  EXPECT_EQ(TakeAll(quota->AccountOf(kBert)->memory), 2u);
}

}  // namespace
}  // namespace nearcall::base
