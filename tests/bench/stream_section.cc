// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

namespace {

SubjectParams OverShm(const char* subject, const Placement& placement = Unpinned(), int64_t spin_us = kSpinUs) {
  SubjectParams params = NearcallOver("shm", spin_us, placement);
  params.subject = subject;
  return params;
}

void MeasureRoundTrips(const Plan& plan, Journal& journal) {
  Contenders contenders;
  contenders.emplace_back("unary", OverShm("nearcall", Apart()));
  for (const char* subject : {"chat", "coroutine", "coroutine chat", "event queue, blocking"}) {
    contenders.emplace_back(subject, OverShm(subject, Apart()));
  }
  contenders.emplace_back("unary, no spin", OverShm("nearcall", Apart(), 0));
  contenders.emplace_back("event queue, no spin", OverShm("event queue", Apart(), 0));
  journal.Add("64 B there and back over shm, apart: unary calls, and the words of one dialogue",
              Alternate(contenders, {"streams", "trips"}, {.duration_ns = plan.batch_ns}, plan.repetitions));
}

void MeasureElements(const Plan& plan, Journal& journal) {
  Contenders contenders;
  for (const char* subject : {"down", "coroutine down"}) contenders.emplace_back(subject, OverShm(subject));
  if (HasGrpc()) contenders.emplace_back("gRPC", Plain("grpc down", Unpinned()));
  journal.Add("64 B elements from the server (over shm), one after the other; a call is an element",
              Alternate(contenders, {"streams", "elements"}, {.duration_ns = plan.batch_ns}, plan.repetitions));
}

}  // namespace

void MeasureStreams(const Plan& plan, Journal& journal) {
  MeasureRoundTrips(plan, journal);
  MeasureElements(plan, journal);
}

// Not how fast, but how many at once: how long all take together.
void MeasureWaiting(const Plan& plan, Journal& journal) {
  Contenders contenders;
  contenders.emplace_back("blocking", OverShm("doze"));
  contenders.emplace_back("async", OverShm("doze async"));
  for (const size_t calls : {size_t{8}, size_t{64}, size_t{200}}) {
    journal.Add(
        absl::StrCat(calls, " calls at once of a handler that sleeps 100 ms, from one channel: until all are over"),
        Alternate(contenders, {"waiting", absl::StrCat(calls)}, {.max_calls = 1, .size = calls}, plan.repetitions));
  }
}

}  // namespace nearcall::bench
