// SPDX-License-Identifier: Apache-2.0
#include "latency_text.h"

#include "absl/strings/str_format.h"

namespace nearcall::tools {

std::string LatencyText(const Histogram& latency) {
  const auto at = [&latency](double share) { return latency.Percentile(share); };
  return absl::StrFormat("  min %.1f  mean %.1f  max %.1f\n  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  p99.99 %.1f\n",
                         at(0), latency.Mean(), at(1), at(0.5), at(0.9), at(0.99), at(0.999), at(0.9999));
}

std::string LatencyJson(const Histogram& latency) {
  const auto at = [&latency](double share) { return latency.Percentile(share); };
  return absl::StrFormat(
      R"({"n":%d,"min":%.3f,"mean":%.3f,"p50":%.3f,"p90":%.3f,"p99":%.3f,"p99.9":%.3f,"p99.99":%.3f,"max":%.3f})",
      latency.count(), at(0), latency.Mean(), at(0.5), at(0.9), at(0.99), at(0.999), at(0.9999), at(1));
}

}  // namespace nearcall::tools
