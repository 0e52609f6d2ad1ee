// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "histogram.h"

namespace nearcall::bench {

// Calls to make one after the other; several processes may begin at one moment.
struct Batch {
  int64_t begin_ns = 0;  // on the steady clock; past: at once
  int64_t duration_ns = 200'000'000;
  int64_t max_calls = 1'000'000'000;
  int64_t gap_ns = 0;      // idleness before each call
  bool open_loop = false;  // instead: a call is due every gap_ns, and late if the one before it is not over
  size_t size = 64;        // of the payload
  int threads = 1;         // that share the connection
  int in_flight = 0;       // so many asynchronous calls at a time, instead of blocking ones

  std::string ToLine() const;
  static std::optional<Batch> FromLine(const std::string& line);
};

// What came out, for one process.
struct BatchResult {
  double calls = 0;
  int64_t begun_ns = 0;  // on the steady clock
  int64_t ended_ns = 0;
  double in_calls_us = 0;  // without the time between calls, where they are blocking
  double cpu_us = 0;       // of the caller's process
  double min_calls = 0;    // of one thread
  double max_calls = 0;
  tools::Histogram latency;

  std::string ToLine() const;
  static std::optional<BatchResult> FromLine(const std::string& line);
};

}  // namespace nearcall::bench
