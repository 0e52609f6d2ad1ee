// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "histogram.h"

namespace nearcall::tools {

// Two lines of percentiles, in microseconds, for people: "  min 1.2  mean 1.9 ...".
std::string LatencyText(const Histogram& latency);
// The same as a JSON object.
std::string LatencyJson(const Histogram& latency);

}  // namespace nearcall::tools
