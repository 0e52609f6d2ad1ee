// SPDX-License-Identifier: Apache-2.0
#include "bench/statistics.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace nearcall::bench {

double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const size_t index = std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

double Series::min() const {
  return values_.empty() ? 0 : *std::min_element(values_.begin(), values_.end());
}
double Series::max() const {
  return values_.empty() ? 0 : *std::max_element(values_.begin(), values_.end());
}

double Series::median() const {
  std::vector<double> values = values_;
  return Percentile(values, 0.5);
}

std::string Series::ToString() const {
  const int digits = median() < 10 ? 2 : median() < 100 ? 1 : 0;
  return absl::StrFormat("%.*f [%.*f .. %.*f]", digits, median(), digits, min(), digits, max());
}

}  // namespace nearcall::bench
