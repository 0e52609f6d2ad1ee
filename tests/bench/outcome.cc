// SPDX-License-Identifier: Apache-2.0
#include "bench/outcome.h"

#include <algorithm>
#include <utility>

namespace nearcall::bench {

namespace {

template <typename Part>
double SumOver(const std::vector<BatchResult>& clients, Part part) {
  double sum = 0;
  for (const BatchResult& client : clients) sum += part(client);
  return sum;
}

// The least of `low` and the most of `high`, of all clients.
template <typename Number>
std::pair<Number, Number> LeastAndMost(const std::vector<BatchResult>& clients, Number BatchResult::*low,
                                       Number BatchResult::*high) {
  std::pair<Number, Number> both(clients.front().*low, clients.front().*high);
  for (const BatchResult& client : clients) {
    both = {std::min(both.first, client.*low), std::max(both.second, client.*high)};
  }
  return both;
}

}  // namespace

double Outcome::calls() const {
  return SumOver(clients, [](const BatchResult& client) { return client.calls; });
}

double Outcome::calls_per_second() const {
  const auto ns = LeastAndMost(clients, &BatchResult::begun_ns, &BatchResult::ended_ns);
  return calls() / static_cast<double>(ns.second - ns.first) * 1e9;
}

double Outcome::calls_per_second_of_calling() const {
  return SumOver(clients, [](const BatchResult& client) { return client.calls / client.in_calls_us * 1e6; });
}

double Outcome::client_cpu_us_per_call() const {
  return SumOver(clients, [](const BatchResult& client) { return client.cpu_us; }) / calls();
}

double Outcome::fairness() const {
  const auto calls = LeastAndMost(clients, &BatchResult::min_calls, &BatchResult::max_calls);
  return calls.second / std::max(1.0, calls.first);
}

tools::Histogram Outcome::latency() const {
  tools::Histogram all;
  for (const BatchResult& client : clients) all.Merge(client.latency);
  return all;
}

}  // namespace nearcall::bench
