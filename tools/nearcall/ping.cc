// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/time/clock.h"
#include "commands.h"
#include "histogram.h"
#include "latency_text.h"
#include "nearcall/generic.h"

namespace nearcall::tools {

namespace {

// A method that most servers have, and an answer from those that do not: the way is the same.
constexpr char kPing[] = "grpc.health.v1.Health/Check";

bool HasAnswered(const absl::Status& status) {
  return status.ok() || absl::IsUnimplemented(status) || absl::IsNotFound(status) || absl::IsPermissionDenied(status);
}

}  // namespace

Outcome Ping(const Settings& settings) {
  const auto channel = ConnectTo(settings.address, settings.deadline);
  if (!channel.ok()) return Outcome::OfConnect(channel.status());
  const GenericStub stub(*channel);
  const CallOptions options = {.deadline = settings.deadline, .priority = settings.priority};
  Histogram latency;
  absl::Status last;
  // The first one finds everything cold, and is not counted.
  for (size_t i = 0; i <= settings.count; ++i) {
    const absl::Time sent = absl::Now();
    last = stub.Unary(kPing, Bytes(), options).status();
    if (!HasAnswered(last)) break;
    if (i != 0) latency.Add(absl::ToDoubleMicroseconds(absl::Now() - sent));
  }
  const Outcome outcome = HasAnswered(last) ? Outcome() : Outcome::OfCall(last);
  if (latency.count() == 0) return outcome;
  std::printf("%d round trips to %s over %s, in microseconds:\n%s", static_cast<int>(latency.count()),
              settings.address.c_str(), (*channel)->transport().c_str(), LatencyText(latency).c_str());
  return outcome;
}

}  // namespace nearcall::tools
