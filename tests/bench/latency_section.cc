// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

namespace {

struct Gap {
  const char* name;
  int64_t ns;
  int64_t calls;       // of one repetition
  int64_t full_calls;  // the same in a full run
};
constexpr Gap kGaps[] = {{"back to back", 0, 1'000'000'000, 1'000'000'000},
                         {"after 100 us", 100'000, 50, 300},
                         {"after 1 ms", 1'000'000, 20, 100},
                         {"after 10 ms", 10'000'000, 3, 15}};

constexpr int64_t kLongNs = 60'000'000'000;

Contenders MakeContenders(const Placement& placement) {
  Contenders contenders;
  // Two that spin on one CPU only wait for their time slices.
  if (placement.name != "together") contenders.emplace_back("F_line", Plain("line", placement));
  contenders.emplace_back("P", Plain("protobuf", placement));
  contenders.emplace_back("F_sem", Plain("semaphore", placement));
  contenders.emplace_back("shm", NearcallOver("shm", kSpinUs, placement));
  contenders.emplace_back("shm, no spin", NearcallOver("shm", 0, placement));
  contenders.emplace_back("F_mq", Plain("mq", placement));
  contenders.emplace_back("mq", NearcallOver("mq", kSpinUs, placement));
  contenders.emplace_back("F_pipe", Plain("pipe", placement));
  contenders.emplace_back("pipe", NearcallOver("pipe", kSpinUs, placement));
  contenders.emplace_back("F_uds", Plain("socket", placement));
  AddGrpc(contenders, placement);
  return contenders;
}

bool IsNothingToWaitFor(const Contender& contender) {
  return contender.name() == "F_line" || contender.name() == "P";
}

}  // namespace

void MeasureLatency(const Plan& plan, Journal& journal) {
  for (const Placement& placement : Placements()) {
    Contenders contenders = MakeContenders(placement);
    for (const Gap& gap : kGaps) {
      const Title title = {"latency", absl::StrCat(placement.name, ", ", gap.name)};
      const Batch batch = {.duration_ns = gap.ns == 0 ? plan.batch_ns : kLongNs,
                           .max_calls = plan.Choose(gap.calls, gap.full_calls),
                           .gap_ns = gap.ns};
      journal.Add(absl::StrCat("64 B, ", title.variant),
                  Alternate(contenders, title, batch, plan.repetitions,
                            [&](const Contender& contender) { return gap.ns != 0 && IsNothingToWaitFor(contender); }));
    }
  }
}

}  // namespace nearcall::bench
