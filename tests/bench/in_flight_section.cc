// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

void MeasureInFlight(const Plan& plan, Journal& journal) {
  Contenders contenders;
  AddTransports(contenders, Unpinned());
  AddGrpc(contenders, Unpinned());
  for (const int in_flight : {1, 16, 64, 1000}) {
    journal.Add(absl::StrCat("64 B, unpinned, ", in_flight, " asynchronous calls in flight"),
                Alternate(contenders, {"in_flight", absl::StrCat(in_flight)},
                          {.duration_ns = 2 * plan.batch_ns, .in_flight = in_flight}, plan.repetitions));
  }
}

}  // namespace nearcall::bench
