// SPDX-License-Identifier: Apache-2.0
#include "base/backoff.h"

#include <gtest/gtest.h>

#include <set>

namespace nearcall::base {
namespace {

TEST(BackoffTest, PausesGrowAndStayNearWhatTheyShouldBe) {
  Backoff backoff(1'000'000, 8'000'000);
  for (const int64_t pause : {1'000'000, 2'000'000, 4'000'000, 8'000'000, 8'000'000, 8'000'000}) {
    const int64_t next = backoff.NextNs();
    EXPECT_GE(next, pause / 2);
    EXPECT_LE(next, pause + pause / 2);
  }
}

TEST(BackoffTest, BeginsAnewAfterASuccess) {
  Backoff backoff(1'000'000, 8'000'000);
  for (int i = 0; i < 5; ++i) backoff.NextNs();
  backoff.Reset();
  EXPECT_LE(backoff.NextNs(), 1'500'000);
}

TEST(BackoffTest, ThoseWhoBeginTogetherDoNotStayTogether) {
  std::set<int64_t> pauses;
  for (int i = 0; i < 100; ++i) pauses.insert(Backoff(1'000'000'000, 1'000'000'000).NextNs());
  EXPECT_GT(pauses.size(), 90u);
}

}  // namespace
}  // namespace nearcall::base
