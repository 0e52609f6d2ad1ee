// SPDX-License-Identifier: Apache-2.0
#include "latency.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace search {

void Latencies::Add(absl::Duration latency) {
  latencies_.push_back(latency);
  sorted_ = false;
}

void Latencies::Merge(const Latencies& other) {
  latencies_.insert(latencies_.end(), other.latencies_.begin(), other.latencies_.end());
  sorted_ = false;
}

absl::Duration Latencies::Percentile(double percent) {
  if (latencies_.empty()) return absl::ZeroDuration();
  if (!sorted_) std::sort(latencies_.begin(), latencies_.end());
  sorted_ = true;
  const double rank = std::ceil(percent / 100 * static_cast<double>(latencies_.size()));
  const auto index = static_cast<size_t>(std::max(rank, 1.0)) - 1;
  return latencies_[std::min(index, latencies_.size() - 1)];
}

std::string Latencies::Summary() {
  return absl::StrCat("p50 ", Microseconds(Percentile(50)), "  p99 ", Microseconds(Percentile(99)), "  max ",
                      Microseconds(Percentile(100)));
}

std::string Microseconds(absl::Duration duration) {
  return absl::StrFormat("%.2f us", absl::ToDoubleMicroseconds(duration));
}

}  // namespace search
