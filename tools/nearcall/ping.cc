// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "commands.h"
#include "nearcall/generic.h"

namespace nearcall::tools {

namespace {

// A method that most servers have, and an answer from those that do not: the way is the same.
constexpr char kPing[] = "grpc.health.v1.Health/Check";

bool HasAnswered(const absl::Status& status) {
  return status.ok() || absl::IsUnimplemented(status) || absl::IsNotFound(status) || absl::IsPermissionDenied(status);
}

double At(const std::vector<double>& sorted, double part) {
  const size_t index = static_cast<size_t>(part * static_cast<double>(sorted.size()));
  return sorted[std::min(index, sorted.size() - 1)];
}

void Print(std::vector<double> micros, const std::string& address, const std::string& transport) {
  std::sort(micros.begin(), micros.end());
  const double mean = std::accumulate(micros.begin(), micros.end(), 0.0) / static_cast<double>(micros.size());
  std::printf("%zu round trips to %s over %s, in microseconds:\n", micros.size(), address.c_str(), transport.c_str());
  std::printf("  min %.1f  mean %.1f  max %.1f\n", micros.front(), mean, micros.back());
  std::printf("  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f\n", At(micros, 0.5), At(micros, 0.9), At(micros, 0.99),
              At(micros, 0.999));
}

}  // namespace

Outcome Ping(const Settings& settings) {
  const auto channel = ConnectTo(settings.address, settings.deadline);
  if (!channel.ok()) return Outcome::OfConnect(channel.status());
  const GenericStub stub(*channel);
  const CallOptions options = {.deadline = settings.deadline, .priority = settings.priority};
  std::vector<double> micros;
  absl::Status last;
  // The first one finds everything cold, and is not counted.
  for (size_t i = 0; i <= settings.count; ++i) {
    const absl::Time sent = absl::Now();
    last = stub.Unary(kPing, Bytes(), options).status();
    if (!HasAnswered(last)) break;
    if (i != 0) micros.push_back(absl::ToDoubleMicroseconds(absl::Now() - sent));
  }
  const Outcome outcome = HasAnswered(last) ? Outcome() : Outcome::OfCall(last);
  if (!micros.empty()) Print(std::move(micros), settings.address, (*channel)->transport());
  return outcome;
}

}  // namespace nearcall::tools
