// SPDX-License-Identifier: Apache-2.0
#include "bench/placement.h"

#include <sched.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace nearcall::bench {

namespace {

std::vector<int> AllowedCpus() {
  cpu_set_t set;
  ::sched_getaffinity(0, sizeof(set), &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace

bool ShareACore(int cpu, int other) {
  // "0-1,4": ranges and numbers.
  std::ifstream file(absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"));
  for (std::string range; std::getline(file, range, ',');) {
    const std::vector<std::string> ends = absl::StrSplit(absl::StripAsciiWhitespace(range), '-');
    int first = 0;
    int last = 0;
    if (!absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last)) return false;
    if (first <= other && other <= last) return true;
  }
  return false;
}

std::vector<Placement> Placements() {
  const std::vector<int> cpus = AllowedCpus();
  std::vector<Placement> placements;
  if (cpus.size() >= 2) {
    const auto on_another_core =
        std::find_if(cpus.begin() + 1, cpus.end(), [&](int cpu) { return !ShareACore(cpus[0], cpu); });
    const int other = on_another_core == cpus.end() ? cpus[1] : *on_another_core;
    placements.push_back({.name = "apart", .client_cpu = cpus[0], .server_cpu = other});
  }
  placements.push_back({.name = "together", .client_cpu = cpus[0], .server_cpu = cpus[0]});
  placements.push_back({.name = "unpinned"});
  return placements;
}

void Pin(int cpu) {
  if (cpu == kAnyCpu) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  ::sched_setaffinity(0, sizeof(set), &set);
}

}  // namespace nearcall::bench
