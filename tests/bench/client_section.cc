// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

namespace {

// Beyond it, message queues get too small to say anything.
constexpr int kMaxQueueClients = 8;

Contenders MakeContenders(int clients, bool full) {
  Contenders contenders;
  const auto add = [&](const char* name, const SubjectParams& params) {
    contenders.emplace_back(name, params, clients);
  };
  add("shm", NearcallOver("shm", kSpinUs, Unpinned()));
  if (full) add("shm, no spin", NearcallOver("shm", 0, Unpinned()));
  if (clients <= kMaxQueueClients) add("mq", NearcallOver("mq", kSpinUs, Unpinned()));
  add("pipe", NearcallOver("pipe", kSpinUs, Unpinned()));
  add("raw loop", Plain("raw", Unpinned()));
  AddGrpc(contenders, Unpinned(), clients);
  return contenders;
}

}  // namespace

void MeasureClients(const Plan& plan, Journal& journal) {
  for (const int clients : {1, 8, 64, 256}) {
    Contenders contenders = MakeContenders(clients, plan.full);
    journal.Add(
        absl::StrCat("64 B, unpinned, ", clients, " client processes"),
        Alternate(contenders, {"clients", absl::StrCat(clients)},
                  {.duration_ns = plan.Choose(250'000'000, 1'000'000'000)}, static_cast<int>(plan.Choose(3, 10))));
  }
}

void MeasureThreads(const Plan& plan, Journal& journal) {
  Contenders contenders;
  contenders.emplace_back("shm", NearcallOver("shm", kSpinUs, Unpinned()));
  AddGrpc(contenders, Unpinned());
  for (const int threads : {8, 64}) {
    journal.Add(absl::StrCat("64 B, unpinned, ", threads, " threads of one process on one channel"),
                Alternate(contenders, {"threads", absl::StrCat(threads)},
                          {.duration_ns = plan.Choose(250'000'000, 1'000'000'000), .threads = threads},
                          static_cast<int>(plan.Choose(3, 10))));
  }
}

}  // namespace nearcall::bench
