// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nearcall::bench {

// The value below which `share` of `values` lie. 0 if there are none. Reorders them.
double Percentile(std::vector<double>& values, double share);

// One figure of each repetition.
class Series {
 public:
  void Add(double value) { values_.push_back(value); }
  bool empty() const { return values_.empty(); }
  // In the order of the repetitions.
  const std::vector<double>& values() const { return values_; }
  double min() const;
  double median() const;
  double max() const;

  // "0.61 [0.60 .. 0.70]"
  std::string ToString() const;

 private:
  std::vector<double> values_;
};

}  // namespace nearcall::bench
