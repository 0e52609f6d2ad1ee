// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// What a test prints beside its verdict. On a machine that builds at the same time a time says little, so by default a
// test only asserts that it is not absurd; with NEARCALL_STRICT=1 in the environment it asserts the target.
namespace nearcall::integration {

bool Strict();

// A count that the environment may raise: TortureCount("NEARCALL_TORTURE_ROUNDS", 20).
size_t TortureCount(const char* variable, size_t usual);

// Of this process. It may shrink, too.
int64_t ResidentBytes();

class Measured {
 public:
  explicit Measured(std::string what) : what_(std::move(what)) {}

  void Add(double value) { values_.push_back(value); }
  size_t count() const { return values_.size(); }
  double Percentile(double share) const;

  // "what: p50 1.2 p99 3.4 max 5.6 ms, 64 values"
  void Print(absl::string_view unit) const;

 private:
  std::string what_;
  std::vector<double> values_;
};

}  // namespace nearcall::integration
