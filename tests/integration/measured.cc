// SPDX-License-Identifier: Apache-2.0
#include "measured.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace nearcall::integration {

bool Strict() {
  return std::getenv("NEARCALL_STRICT") != nullptr;
}

size_t TortureCount(const char* variable, size_t usual) {
  const char* text = std::getenv(variable);
  size_t count = 0;
  return text != nullptr && absl::SimpleAtoi(text, &count) && count > 0 ? count : usual;
}

int64_t ResidentBytes() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return pages * ::getpagesize();
}

double Measured::Percentile(double share) const {
  if (values_.empty()) return 0;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(share * static_cast<double>(sorted.size())))];
}

void Measured::Print(absl::string_view unit) const {
  absl::PrintF("[ measured ] %s: p50 %.3f, p99 %.3f, max %.3f %s (%d values)\n", what_, Percentile(0.5),
               Percentile(0.99), Percentile(1), unit, values_.size());
  std::fflush(stdout);
}

}  // namespace nearcall::integration
