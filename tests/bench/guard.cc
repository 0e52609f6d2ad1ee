#include "bench/guard.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/plan.h"

namespace nearcall::bench {

namespace {

constexpr int kRepetitions = 20;
constexpr int64_t kBatchNs = 10'000'000;

// Who seems broken is looked at again, with new processes: they may have had bad luck with their place or their heap.
constexpr int kAttempts = 3;

Contenders SmallContenders(const Placement& placement) {
  Contenders contenders;
  for (const auto& [name, subject] :
       {std::pair("F_line", "line"), std::pair("P", "protobuf"), std::pair("F_sem", "semaphore"),
        std::pair("F_mq", "mq"), std::pair("F_pipe", "pipe")}) {
    contenders.emplace_back(name, Plain(subject, placement));
  }
  contenders.emplace_back("shm, no spin", NearcallOver("shm", 0, placement));
  AddTransports(contenders, placement);
  return contenders;
}

Contenders LargeContenders(const Placement& placement) {
  Contenders contenders;
  contenders.emplace_back("M", Plain("memcpy", placement));
  SubjectParams params = NearcallOver("shm", kSpinUs, placement);
  params.keep_heap = true;
  contenders.emplace_back("shm, 1 MiB", params);
  return contenders;
}

// Of the p50 of each repetition. What sleeps now and then has a repetition in which nobody had to: a floor's least says
// little, and its median counts; of the calls the least does.
struct P50 {
  double least;
  double median;
};
using Figures = std::map<std::string, P50>;

void Measure(Contenders contenders, size_t size, Figures& figures) {
  const Batch batch = {.duration_ns = kBatchNs, .size = size};
  for (const Measurement& m : Alternate(contenders, {"guard", ""}, batch, kRepetitions)) {
    const P50 now = {.least = m.p50_us.min(), .median = m.p50_us.median()};
    P50& known = figures.emplace(m.who, now).first->second;
    known = {.least = std::min(known.least, now.least), .median = std::max(known.median, now.median)};
  }
}

bool Expect(const char* what, double measured_us, double limit_us) {
  const bool holds = measured_us <= limit_us;
  absl::PrintF("  %-58s %9.2f us  <= %9.2f us  %s\n", what, measured_us, limit_us, holds ? "holds" : "BROKEN");
  std::fflush(stdout);
  return holds;
}

bool Holds(Figures& figures) {
  const auto floor = [&](const char* name) { return figures[name].median; };
  const auto call = [&](const char* name) { return figures[name].least; };
  bool holds = true;
  holds &= Expect("shm, 64 B: 5 x (5 F_line + 1.2 P)", call("shm"), 5 * (5 * floor("F_line") + 1.2 * floor("P")));
  holds &= Expect("shm, 64 B, no spin: 3 x F_sem", call("shm, no spin"), 3 * floor("F_sem"));
  holds &= Expect("mq, 64 B: 3 x F_mq", call("mq"), 3 * floor("F_mq"));
  holds &= Expect("pipe, 64 B: 3 x F_pipe", call("pipe"), 3 * floor("F_pipe"));
  holds &= Expect("shm, 1 MiB there and back: 40 x M", call("shm, 1 MiB"), 40 * floor("M"));
  return holds;
}

}  // namespace

int RunGuard() {
  const Placement placement = Placements().front();
  if (placement.name != "apart") {
    absl::PrintF("one CPU: nothing to compare\n");
    return 0;
  }
  absl::PrintF(
      "Each against a multiple of what it stands on; apart; of the p50 of many repetitions the least, of the floors "
      "the median\n");
  Figures figures;
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    Measure(SmallContenders(placement), 64, figures);
    Measure(LargeContenders(placement), size_t{1} << 20, figures);
    if (Holds(figures)) return 0;
    absl::PrintF("  (attempt %d of %d)\n", attempt, kAttempts);
  }
  return 1;
}

}  // namespace nearcall::bench
