// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace search {

// How long calls took. Used by one thread at a time.
class Latencies {
 public:
  void Add(absl::Duration latency);
  void Merge(const Latencies& other);

  size_t size() const { return latencies_.size(); }

  // The shortest time that `percent` of the calls did not exceed ("nearest rank"). Zero if there are none.
  absl::Duration Percentile(double percent);

  // "p50 4.12 us  p99 12.03 us  max 80.50 us"
  std::string Summary();

 private:
  std::vector<absl::Duration> latencies_;
  bool sorted_ = true;
};

// "4.12 us": for people, in the one unit, so that figures compare.
std::string Microseconds(absl::Duration duration);

}  // namespace search
