// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace nearcall::rpc {

// Into which bucket a duration falls: four for each power of two, so that none is wider than a quarter of what is in
// it. The first eight hold a nanosecond each; the last one, what takes 137 s and longer, too.
class LatencyBuckets {
  static constexpr int kStepBits = 2;
  static constexpr uint64_t kSteps = uint64_t{1} << kStepBits;
  static constexpr int kMostBits = 37;
  static constexpr uint64_t kMost = (uint64_t{1} << kMostBits) - 1;

 public:
  static constexpr size_t kCount = (kMostBits - kStepBits + 1) * kSteps;

  static constexpr size_t Of(uint64_t ns) {
    const uint64_t value = std::min(ns, kMost);
    const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kStepBits - 1);
    return static_cast<size_t>((static_cast<uint64_t>(shift) << kStepBits) + (value >> shift));
  }

  // The least that falls into the bucket; of the one behind the last: what the last one ends before.
  static constexpr uint64_t From(size_t bucket) {
    const uint64_t shift = bucket < 2 * kSteps ? 0 : bucket / kSteps - 1;
    return (bucket - shift * kSteps) << shift;
  }
};

static_assert(LatencyBuckets::Of(~uint64_t{0}) == LatencyBuckets::kCount - 1);

}  // namespace nearcall::rpc
