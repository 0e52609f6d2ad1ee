// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "nearcall/stats/v1/stats.pb.h"

namespace nearcall::tools {

// What a server has told of itself.
struct Snapshot {
  std::string address;
  stats::v1::GetResponse stats;
};

// What stands for calls of this tool itself, which disturb the picture.
bool IsOwn(const stats::v1::Method& method);

// `now`, but what grows, of the time since `before`, and uptime_ns with it. Since the server's start, if `before` is
// of another one, or empty.
stats::v1::GetResponse Since(const stats::v1::GetResponse& before, const stats::v1::GetResponse& now);

uint64_t CountEnded(const stats::v1::Method& method);
uint64_t CountFailed(const stats::v1::Method& method);

// The latency below which `share` of all lie, in nanoseconds; 0 if there are none.
double Percentile(const stats::v1::Histogram& latency, double share);
// Adds what is in `more`.
void Merge(const stats::v1::Histogram& more, stats::v1::Histogram& latency);

}  // namespace nearcall::tools
