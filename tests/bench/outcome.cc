// SPDX-License-Identifier: Apache-2.0
#include "bench/outcome.h"

#include <algorithm>
#include <cstdint>

namespace nearcall::bench {

double Outcome::calls() const {
  double sum = 0;
  for (const BatchResult& client : clients) sum += client.calls;
  return sum;
}

double Outcome::calls_per_second() const {
  int64_t begun_ns = clients.front().begun_ns;
  int64_t ended_ns = clients.front().ended_ns;
  for (const BatchResult& client : clients) {
    begun_ns = std::min(begun_ns, client.begun_ns);
    ended_ns = std::max(ended_ns, client.ended_ns);
  }
  return calls() / static_cast<double>(ended_ns - begun_ns) * 1e9;
}

double Outcome::calls_per_second_of_calling() const {
  double sum = 0;
  for (const BatchResult& client : clients) sum += client.calls / client.in_calls_us * 1e6;
  return sum;
}

double Outcome::client_cpu_us_per_call() const {
  double sum = 0;
  for (const BatchResult& client : clients) sum += client.cpu_us;
  return sum / calls();
}

double Outcome::fairness() const {
  double least = clients.front().min_calls;
  double most = clients.front().max_calls;
  for (const BatchResult& client : clients) {
    least = std::min(least, client.min_calls);
    most = std::max(most, client.max_calls);
  }
  return most / std::max(1.0, least);
}

Histogram Outcome::latency() const {
  Histogram all;
  for (const BatchResult& client : clients) all.Merge(client.latency);
  return all;
}

}  // namespace nearcall::bench
