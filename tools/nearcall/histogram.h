// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nearcall::tools {

// How often each latency came up, in buckets that are at most 1/64 of their value wide. Takes the same time and memory
// for any number of latencies, so that looking does not disturb what is looked at.
class Histogram {
 public:
  void Add(double us);
  void Merge(const Histogram& other);

  int64_t count() const { return count_; }

  // The latency, in microseconds, below which `share` of all lie. 0 if there are none.
  double Percentile(double share) const;

  // As exact as the buckets are.
  double Mean() const;

  // "bucket:count,...", without spaces; "-" if it is empty.
  std::string ToString() const;
  static std::optional<Histogram> FromString(const std::string& text);

 private:
  void AddTo(size_t bucket, int64_t count);

  int64_t count_ = 0;
  std::vector<int64_t> counts_;  // by bucket
};

}  // namespace nearcall::tools
