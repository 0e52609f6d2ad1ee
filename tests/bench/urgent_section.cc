// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

namespace {

constexpr int64_t kPeriodNs = 1'000'000;

}  // namespace

void MeasureUrgent(const Plan& plan, Journal& journal) {
  for (const char* transport : {"shm", "mq", "pipe"}) {
    SubjectParams params = NearcallOver(transport, kSpinUs, Unpinned());
    Contenders contenders;
    contenders.emplace_back("alone", params);
    params.subject = "urgent";
    contenders.emplace_back("urgent", params);
    params.subject = "loaded semaphore";
    contenders.emplace_back("F_sem", params);
    journal.Add(
        absl::StrCat("64 B, unpinned, due each millisecond (open loop); alone; and urgent, and F_sem, beside 8 ",
                     "uploads of 256 KiB in flight over ", transport),
        Alternate(contenders, {"urgent", transport},
                  {.duration_ns = plan.Choose(100'000'000, 1'000'000'000), .gap_ns = kPeriodNs, .open_loop = true},
                  plan.repetitions));
  }
}

}  // namespace nearcall::bench
