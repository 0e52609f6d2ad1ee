// SPDX-License-Identifier: Apache-2.0
#include "bench/batch.h"

#include <sstream>
#include <utility>

namespace nearcall::bench {

std::string Batch::ToLine() const {
  std::ostringstream line;
  line << begin_ns << ' ' << duration_ns << ' ' << max_calls << ' ' << gap_ns << ' ' << open_loop << ' ' << size << ' '
       << threads << ' ' << in_flight;
  return line.str();
}

std::optional<Batch> Batch::FromLine(const std::string& line) {
  std::istringstream in(line);
  Batch batch;
  in >> batch.begin_ns >> batch.duration_ns >> batch.max_calls >> batch.gap_ns >> batch.open_loop >> batch.size >>
      batch.threads >> batch.in_flight;
  return in ? std::optional(batch) : std::nullopt;
}

std::string BatchResult::ToLine() const {
  std::ostringstream line;
  line.precision(12);
  line << calls << ' ' << begun_ns << ' ' << ended_ns << ' ' << in_calls_us << ' ' << cpu_us << ' ' << min_calls << ' '
       << max_calls << ' ' << latency.ToString();
  return line.str();
}

std::optional<BatchResult> BatchResult::FromLine(const std::string& line) {
  std::istringstream in(line);
  BatchResult result;
  std::string latency;
  in >> result.calls >> result.begun_ns >> result.ended_ns >> result.in_calls_us >> result.cpu_us >> result.min_calls >>
      result.max_calls >> latency;
  std::optional<tools::Histogram> histogram = tools::Histogram::FromString(latency);
  if (!in || !histogram) return std::nullopt;
  result.latency = *std::move(histogram);
  return result;
}

}  // namespace nearcall::bench
