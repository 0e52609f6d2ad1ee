// SPDX-License-Identifier: Apache-2.0
#include "bench/alternate.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace nearcall::bench {

namespace {

// The same order in each run of the benchmark, another one in each repetition.
constexpr uint32_t kOrderSeed = 1;

void Add(const Outcome& outcome, Measurement& measurement) {
  const tools::Histogram latency = outcome.latency();
  measurement.clients = static_cast<int>(outcome.clients.size());
  measurement.latency.Merge(latency);
  measurement.p50_us.Add(latency.Percentile(0.5));
  measurement.p99_us.Add(latency.Percentile(0.99));
  if (measurement.batch.gap_ns == 0) {
    measurement.calls_per_second.Add(outcome.calls_per_second());
    measurement.calls_per_second_of_calling.Add(outcome.calls_per_second_of_calling());
  }
  measurement.fairness.Add(outcome.fairness());
  measurement.client_cpu_us.Add(outcome.client_cpu_us_per_call());
  measurement.server_cpu_us.Add(outcome.server_cpu_us_per_call());
}

}  // namespace

std::vector<Measurement> Alternate(Contenders& contenders, const Title& title, const Batch& batch, int repetitions,
                                   const std::function<bool(const Contender&)>& leave_out) {
  std::vector<Contender*> chosen;
  std::vector<Measurement> measurements;
  for (Contender& contender : contenders) {
    if (leave_out && leave_out(contender)) continue;
    chosen.push_back(&contender);
    Measurement& measurement = measurements.emplace_back();
    measurement.section = title.section;
    measurement.variant = title.variant;
    measurement.who = contender.name();
    measurement.placement = contender.params().placement.name;
    measurement.batch = batch;
    if (contender.params().subject == "memcpy") measurement.ways = 1;
  }
  std::vector<size_t> order(chosen.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(kOrderSeed);
  for (int i = 0; i < repetitions; ++i) {
    std::shuffle(order.begin(), order.end(), random);
    for (const size_t j : order) Add(chosen[j]->Run(batch), measurements[j]);
  }
  return measurements;
}

}  // namespace nearcall::bench
