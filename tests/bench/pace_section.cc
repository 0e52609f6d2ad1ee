// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

void MeasurePace(const Plan& plan, Journal& journal) {
  Contenders contenders;
  contenders.emplace_back("F_sem", Plain("semaphore", Unpinned()));
  AddTransports(contenders, Unpinned());
  contenders.emplace_back("shm, no spin", NearcallOver("shm", 0, Unpinned()));
  AddGrpc(contenders, Unpinned());
  for (const int64_t calls : {1000, 10'000}) {
    journal.Add(
        absl::StrCat("64 B, unpinned, ", calls, " calls due each second (open loop): what CPU they take"),
        Alternate(
            contenders, {"pace", absl::StrCat(calls)},
            {.duration_ns = plan.Choose(50'000'000, 500'000'000), .gap_ns = 1'000'000'000 / calls, .open_loop = true},
            plan.repetitions));
  }
}

}  // namespace nearcall::bench
