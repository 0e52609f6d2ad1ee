// SPDX-License-Identifier: Apache-2.0
#include "latency.h"

#include <gtest/gtest.h>

namespace search {
namespace {

TEST(LatencyTest, TakesTheNearestRank) {
  Latencies latencies;
  for (int us = 100; us >= 1; --us) latencies.Add(absl::Microseconds(us));
  EXPECT_EQ(latencies.Percentile(50), absl::Microseconds(50));
  EXPECT_EQ(latencies.Percentile(99), absl::Microseconds(99));
  EXPECT_EQ(latencies.Percentile(100), absl::Microseconds(100));
  EXPECT_EQ(latencies.Percentile(0), absl::Microseconds(1));
}

TEST(LatencyTest, SortsAgainAfterMore) {
  Latencies latencies, more;
  latencies.Add(absl::Microseconds(3));
  EXPECT_EQ(latencies.Percentile(50), absl::Microseconds(3));
  more.Add(absl::Nanoseconds(1500));
  latencies.Merge(more);
  EXPECT_EQ(latencies.Summary(), "p50 1.50 us  p99 3.00 us  max 3.00 us");
}

TEST(LatencyTest, IsZeroWithoutCalls) {
  EXPECT_EQ(Latencies().Percentile(50), absl::ZeroDuration());
}

}  // namespace
}  // namespace search
