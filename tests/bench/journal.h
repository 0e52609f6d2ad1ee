// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "bench/batch.h"
#include "bench/statistics.h"
#include "histogram.h"

namespace nearcall::bench {

// Calls of one kind, by one contender, in all repetitions.
struct Measurement {
  std::string section;  // "latency"
  std::string variant;  // "apart, back to back"
  std::string who;      // "shm"
  std::string placement;
  Batch batch;
  int clients = 1;
  int ways = 2;              // that the payload goes in one call: there, and back
  tools::Histogram latency;  // of all repetitions
  Series p50_us;
  Series p99_us;
  Series calls_per_second;  // by the clock on the wall; empty, like the next, if there were gaps between the calls
  Series calls_per_second_of_calling;  // without what the benchmark does between them: making and checking payloads
  Series fairness;
  Series client_cpu_us;  // for each call; this one and the next are empty if that was not measured
  Series server_cpu_us;

  // All ways together, while there was a call.
  double gigabytes_per_second() const {
    return 1e-9 * ways * static_cast<double>(batch.size) * calls_per_second_of_calling.median();
  }
};

// Something else that is a number.
struct Figure {
  std::string section;
  std::string name;
  std::string unit;
  Series values;
};

// All that has been measured.
class Journal {
 public:
  // Also prints them: measurements as one table, a figure as one line.
  void Add(const std::string& title, std::vector<Measurement> measurements);
  void Add(Figure figure);

  // nullptr: not measured.
  const Measurement* Find(const std::string& section, const std::string& variant, const std::string& who) const;
  // Of gRPC's two servers the one of which `figure` is less, or more, in the median.
  enum class Better : bool { kLess, kMore };
  const Measurement* FindGrpc(const std::string& section, const std::string& variant, Series Measurement::*figure,
                              Better better) const;
  const Figure* FindFigure(const std::string& section, const std::string& name) const;

  const std::deque<Measurement>& measurements() const { return measurements_; }
  const std::deque<Figure>& figures() const { return figures_; }

 private:
  std::deque<Measurement> measurements_;
  std::deque<Figure> figures_;
};

}  // namespace nearcall::bench
