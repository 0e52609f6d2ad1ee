// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/latency_buckets.h"

#include <gtest/gtest.h>

namespace nearcall::rpc {
namespace {

TEST(LatencyBucketsTest, FollowEachOtherWithoutAGap) {
  for (size_t bucket = 0; bucket < LatencyBuckets::kCount; ++bucket) {
    const uint64_t from = LatencyBuckets::From(bucket);
    const uint64_t below = LatencyBuckets::From(bucket + 1);
    EXPECT_LT(from, below);
    EXPECT_EQ(LatencyBuckets::Of(from), bucket);
    EXPECT_EQ(LatencyBuckets::Of(below - 1), bucket);
    EXPECT_TRUE(below - from == 1 || 4 * (below - from) <= from) << "a quarter of what is in it, at most: " << from;
  }
}

TEST(LatencyBucketsTest, BeginAtZeroAndTakeAll) {
  EXPECT_EQ(LatencyBuckets::From(0), 0u);
  EXPECT_EQ(LatencyBuckets::From(LatencyBuckets::kCount), uint64_t{1} << 37);
  EXPECT_EQ(LatencyBuckets::Of(uint64_t{1} << 37), LatencyBuckets::kCount - 1);
  EXPECT_EQ(LatencyBuckets::Of(~uint64_t{0}), LatencyBuckets::kCount - 1);
}

}  // namespace
}  // namespace nearcall::rpc
