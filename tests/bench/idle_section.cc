// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"
#include "support/usage.h"

namespace nearcall::bench {

namespace {

constexpr int kConnections = 1000;

// Long against a poller's last looks.
constexpr auto kSettle = std::chrono::seconds(1);

// The figure behind `label`, which the kernel gives in KiB.
double KibibytesIn(const std::string& path, const std::string& label) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    double value = 0;
    if (words.size() >= 2 && words[0] == label && absl::SimpleAtod(words[1], &value)) return value;
  }
  return 0;
}

// Shared memory belongs to nobody: what the machine has more of counts as the server's.
double MemoryKib(pid_t server) {
  return KibibytesIn(absl::StrCat("/proc/", server, "/status"), "RssAnon:") + KibibytesIn("/proc/meminfo", "Shmem:");
}

void Note(Journal& journal, const char* name, const char* unit, double value) {
  Series values;
  values.Add(value);
  journal.Add({.section = "idle", .name = name, .unit = unit, .values = values});
}

void Watch(const Contender& contender, std::chrono::seconds how_long, Journal& journal) {
  std::this_thread::sleep_for(kSettle);
  const testing::Usage before = testing::Usage::Of(contender.server());
  std::this_thread::sleep_for(how_long);
  const testing::Usage after = testing::Usage::Of(contender.server());
  const double seconds = std::chrono::duration<double>(how_long).count();
  Note(journal, "server CPU", "% of a core", after.CpuMsSince(before) / 1000 / seconds * 100);
  Note(journal, "wake-ups", "/s", static_cast<double>(after.ContextSwitchesSince(before)) / seconds);
}

}  // namespace

void MeasureIdle(const Plan& plan, Journal& journal) {
  Contenders contenders;
  const Placement placement = Placements().front();
  contenders.emplace_back("shm, alone", NearcallOver("shm", kSpinUs, placement));
  contenders.emplace_back("shm, beside 1000", NearcallOver("shm", kSpinUs, placement));
  Contender& crowded = contenders.back();
  const double before = MemoryKib(crowded.server());
  crowded.AddCrowd(kConnections);
  absl::PrintF("\nshm, a server with %d connections, from a few processes, that do nothing\n", kConnections);
  Note(journal, "memory for each client", "KiB", (MemoryKib(crowded.server()) - before) / kConnections);
  Watch(crowded, std::chrono::seconds(plan.Choose(3, 20)), journal);
  journal.Add(absl::StrCat("64 B, ", placement.name, ", back to back, one busy client"),
              Alternate(contenders, {"idle", "busy"}, {.duration_ns = 2 * plan.batch_ns}, plan.repetitions));
}

}  // namespace nearcall::bench
