// SPDX-License-Identifier: Apache-2.0
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

void MeasureConnect(const Plan& plan, Journal& journal) {
  Contenders contenders;
  contenders.emplace_back("raw connect", Plain("raw connect", Unpinned()));
  for (const char* transport : {"shm", "mq", "pipe"}) {
    SubjectParams params = NearcallOver(transport, kSpinUs, Unpinned());
    params.subject = "connect";
    contenders.emplace_back(transport, params);
  }
  journal.Add("from Connect() to the first reply, 64 B, unpinned",
              Alternate(contenders, {"connect", "first reply"}, {.duration_ns = plan.batch_ns}, plan.repetitions));
}

}  // namespace nearcall::bench
