// SPDX-License-Identifier: Apache-2.0
#include "bench/entrants.h"

#include "bench/plan.h"

namespace nearcall::bench {

SubjectParams NearcallOver(const std::string& transport, int64_t spin_us, const Placement& placement) {
  return {.subject = "nearcall", .address = {}, .placement = placement, .spin_us = spin_us, .transport = transport};
}

SubjectParams Plain(const std::string& subject, const Placement& placement) {
  return {.subject = subject, .address = {}, .placement = placement};
}

const Placement& Unpinned() {
  static const Placement unpinned = {.name = "unpinned"};
  return unpinned;
}

const Placement& Apart() {
  static const Placement apart = [] {
    for (const Placement& placement : Placements()) {
      if (placement.name == "apart") return placement;
    }
    return Unpinned();
  }();
  return apart;
}

void AddTransports(Contenders& contenders, const Placement& placement) {
  for (const char* transport : {"shm", "mq", "pipe"}) {
    contenders.emplace_back(transport, NearcallOver(transport, kSpinUs, placement));
  }
}

void AddGrpc(Contenders& contenders, const Placement& placement, int clients) {
  if (!HasGrpc()) return;
  contenders.emplace_back("gRPC", Plain("grpc", placement), clients);
  contenders.emplace_back("gRPC, queues", Plain("grpc queues", Unpinned()), clients);
}

}  // namespace nearcall::bench
