// SPDX-License-Identifier: Apache-2.0
#include "bench/guard.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/alternate.h"
#include "bench/conditions.h"
#include "bench/entrants.h"
#include "bench/plan.h"
#include "bench/statistics.h"

namespace nearcall::bench {

namespace {

constexpr int kRepetitions = 20;
constexpr int64_t kBatchNs = 10'000'000;

constexpr double kFine = 1.5;

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

// The p50 of each repetition, by who. What is compared was measured in the same repetition.
using P50s = std::map<std::string, std::vector<double>>;

void Measure(Contenders contenders, size_t size, P50s& p50s) {
  const Batch batch = {.duration_ns = kBatchNs, .size = size};
  for (const Measurement& m : Alternate(contenders, {"guard", ""}, batch, kRepetitions)) {
    p50s[m.who] = m.p50_us.values();
  }
}

// A way through Nearcall, and what it stands on.
struct Rule {
  const char* what;
  const char* call;
  std::vector<std::pair<const char*, double>> floors;  // each so many times
  // At most so many times all of them together, whatever else the machine does. On a quiet one: half as much again as
  // is usual, wherever the machine has put its two CPUs.
  double coarse;
  double usual;
};

const std::vector<Rule>& Rules() {
  static const std::vector<Rule> rules = {
      {"shm, 64 B, over 5 F_line + 1.2 P", "shm", {{"F_line", 5}, {"P", 1.2}}, 5, 2.4},
      {"shm, 64 B, no spin, over F_sem", "shm, no spin", {{"F_sem", 1}}, 3, 1.5},
      {"mq, 64 B, over F_mq", "mq", {{"F_mq", 1}}, 3, 1.8},
      {"pipe, 64 B, over F_pipe", "pipe", {{"F_pipe", 1}}, 3, 1.8},
      {"shm, 1 MiB there and back, over M", "shm, 1 MiB", {{"M", 1}}, 40, 16},
  };
  return rules;
}

// What has been seen of a rule in all attempts.
struct Seen {
  // Of the calls the least, of the floors the largest of the medians: what sleeps now and then has a repetition in
  // which nobody had to, so that a floor's least says little.
  double least_call = std::numeric_limits<double>::infinity();
  double floor = 0;
  // The least of the medians of call over floor in one repetition; of attempts on a quiet machine.
  double ratio = std::numeric_limits<double>::infinity();
};

void Look(const Rule& rule, const P50s& p50s, bool quiet, Seen& seen) {
  const std::vector<double>& calls = p50s.at(rule.call);
  std::vector<double> floors(calls.size());
  for (const auto& [floor, times] : rule.floors) {
    for (size_t i = 0; i < floors.size(); ++i) floors[i] += times * p50s.at(floor)[i];
  }
  std::vector<double> ratios(calls.size());
  for (size_t i = 0; i < ratios.size(); ++i) ratios[i] = calls[i] / floors[i];
  seen.least_call = std::min(seen.least_call, *std::min_element(calls.begin(), calls.end()));
  seen.floor = std::max(seen.floor, Percentile(floors, 0.5));
  if (quiet) seen.ratio = std::min(seen.ratio, Percentile(ratios, 0.5));
}

bool Expect(const char* what, double measured, double limit) {
  const bool holds = measured <= limit;
  absl::PrintF("  %-40s %8.2f  <= %6.2f  %s\n", what, measured, limit, holds ? "holds" : "BROKEN");
  return holds;
}

bool Holds(const std::vector<Seen>& seen, bool quiet) {
  bool holds = true;
  absl::PrintF("the least of all calls over the floor's median\n");
  for (size_t i = 0; i < seen.size(); ++i) {
    holds &= Expect(Rules()[i].what, seen[i].least_call / seen[i].floor, Rules()[i].coarse);
  }
  absl::PrintF("the median of the ratios of one repetition each%s\n", quiet ? "" : ": not now");
  for (size_t i = 0; quiet && i < seen.size(); ++i)
    holds &= Expect(Rules()[i].what, seen[i].ratio, kFine * Rules()[i].usual);
  std::fflush(stdout);
  return holds;
}

// One attempt, with new processes. Whether the machine was quiet, as the benchmark asks it to be.
bool Attempt(const Placement& placement, std::vector<Seen>& seen) {
  Conditions conditions;
  P50s p50s;
  Measure(SmallContenders(placement), 64, p50s);
  Measure(LargeContenders(placement), size_t{1} << 20, p50s);
  conditions.End();
  const std::vector<std::string> objections = conditions.Objections();
  for (const std::string& objection : objections) absl::PrintF("not quiet: %s\n", objection);
  const bool quiet = objections.empty();
  for (size_t i = 0; i < seen.size(); ++i) Look(Rules()[i], p50s, quiet, seen[i]);
  return quiet;
}

}  // namespace

int RunGuard() {
  const Placement placement = Placements().front();
  if (placement.name != "apart") {
    absl::PrintF("one CPU: nothing to compare\n");
    return 0;
  }
  absl::PrintF("Each p50 against that of what it stands on; apart\n");
  std::vector<Seen> seen(Rules().size());
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    const bool quiet = Attempt(placement, seen);
    if (Holds(seen, quiet)) return 0;
    absl::PrintF("  (attempt %d of %d)\n", attempt, kAttempts);
  }
  return 1;
}

}  // namespace nearcall::bench
