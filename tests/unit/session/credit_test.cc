// SPDX-License-Identifier: Apache-2.0
#include "session/credit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <string>

namespace nearcall::session {
namespace {

TEST(CreditTest, AnElementLargerThanTheWindowBegins) {
  SendCredit credit(10);
  EXPECT_TRUE(credit.Begin(1000));
  EXPECT_FALSE(credit.may_begin());
  EXPECT_FALSE(credit.Begin(0));
}

TEST(CreditTest, AnEmptyElementCosts) {
  SendCredit credit(2 * kElementCost);
  EXPECT_TRUE(credit.Begin(0));
  EXPECT_TRUE(credit.Begin(0));
  EXPECT_FALSE(credit.Begin(0));
}

TEST(CreditTest, WhatFailsToBeginCostsNothing) {
  SendCredit credit(1);
  EXPECT_TRUE(credit.Begin(0));
  EXPECT_FALSE(credit.Begin(1000));
  EXPECT_TRUE(credit.Add(kElementCost));
  EXPECT_TRUE(credit.Begin(0));
}

TEST(CreditTest, MoreThanAWindowIsAViolation) {
  SendCredit credit(100);
  EXPECT_FALSE(credit.Add(1));
  SendCredit used(100);
  ASSERT_TRUE(used.Begin(68));
  EXPECT_TRUE(used.Add(100));
  EXPECT_FALSE(used.Add(1));
}

TEST(CreditTest, ManyGrantsDoNotOverflow) {
  SendCredit credit(UINT32_MAX);
  EXPECT_FALSE(credit.Add(UINT32_MAX));
  EXPECT_FALSE(credit.Add(UINT32_MAX));
  EXPECT_FALSE(credit.Add(UINT32_MAX));
}

TEST(CreditTest, AnElementWithoutCreditIsAViolation) {
  ReceiveWindow window(kElementCost);
  EXPECT_TRUE(window.Accept(0));
  EXPECT_FALSE(window.Accept(0));
  window.Open(1);
  EXPECT_TRUE(window.Accept(0));
}

TEST(CreditTest, CreditIsGivenByHalfWindows) {
  ReadCount count(200);
  EXPECT_EQ(count.Read(40), 0u);
  EXPECT_EQ(count.Read(0), 104u);
  EXPECT_EQ(count.Read(0), 0u);
}

// Writer, reader, and a link that delivers when it likes. Whatever the order: what waits unread is bounded, nobody
// breaks the rules, and who has something to write is never stuck when all is read.
class CreditPropertyTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(CreditPropertyTest, BoundedAndNeverStuck) {
  const uint32_t window = GetParam();
  for (uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random); };
    SendCredit credit(window);
    ReceiveWindow receive(window);
    ReadCount count(window);
    std::deque<size_t> elements;   // on their way
    std::deque<uint32_t> credits;  // likewise, the other way
    std::deque<size_t> arrived;
    int64_t unread = 0;
    int64_t largest = 0;
    for (int step = 0; step < 2000; ++step) {
      const size_t size = below(3) == 0 ? below(3 * size_t{window} + 2) : below(4);
      switch (below(4)) {
        case 0:
          if (credit.Begin(size)) {
            elements.push_back(size);
            unread += CostOf(size);
            largest = std::max(largest, CostOf(size));
          } else {
            // Not stuck: there is something that somebody can do.
            ASSERT_FALSE(elements.empty() && arrived.empty() && credits.empty());
          }
          break;
        case 1:
          if (elements.empty()) break;
          ASSERT_TRUE(receive.Accept(elements.front()));
          arrived.push_back(elements.front());
          elements.pop_front();
          break;
        case 2:
          if (arrived.empty()) break;
          unread -= CostOf(arrived.front());
          if (const uint32_t given = count.Read(arrived.front()); given != 0) {
            receive.Open(given);
            credits.push_back(given);
          }
          arrived.pop_front();
          break;
        case 3:
          if (credits.empty()) break;
          ASSERT_TRUE(credit.Add(credits.front()));
          credits.pop_front();
          break;
      }
      ASSERT_LE(unread, int64_t{window} + largest);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, CreditPropertyTest, ::testing::Values(1u, 2u, 31u, 33u, 100u, 65536u));

}  // namespace
}  // namespace nearcall::session
