// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bench/batch.h"
#include "histogram.h"

namespace nearcall::bench {

// What came out of one batch, for all clients that took part, at least one.
struct Outcome {
  std::vector<BatchResult> clients;
  double server_cpu_us = 0;

  double calls() const;
  // From the moment when the first client began until the last one had ended.
  double calls_per_second() const;
  // While clients were in calls, and not between two of them.
  double calls_per_second_of_calling() const;
  double client_cpu_us_per_call() const;
  double server_cpu_us_per_call() const { return server_cpu_us / calls(); }
  // Most and least calls of those who should have got the same.
  double fairness() const;
  tools::Histogram latency() const;
};

}  // namespace nearcall::bench
