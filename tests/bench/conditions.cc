// SPDX-License-Identifier: Apache-2.0
#include "bench/conditions.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "bench/entrants.h"

namespace nearcall::bench {

namespace {

// The kernel counts the machine's time by ticks, so a little less than this means nothing.
constexpr double kMaxOthersShare = 0.05;

// The machine's near state (a virtual machine's CPUs may come to lie on cores of different clusters).
constexpr double kMaxNearUs = 0.15;

// Between the nearest and the farthest state of one run.
constexpr double kMaxLineSpread = 2;

constexpr auto kFirstLook = std::chrono::milliseconds(500);
constexpr int kProbeRepetitions = 5;
constexpr int64_t kProbeNs = 5'000'000;

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

double OwnSeconds() {
  double sum = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    sum += Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  }
  return sum;
}

}  // namespace

Conditions::Used Conditions::Now() {
  // proc(5): the first line sums up all CPUs.
  std::ifstream file("/proc/stat");
  std::string label;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  file >> label >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return {.wall_s = static_cast<double>(base::NowNs()) * 1e-9,
          .machine_s = (user + nice + system) / ticks,
          .stolen_s = steal / ticks,
          .own_s = OwnSeconds()};
}

double Conditions::ShareOfOthers(const Used& from, const Used& to) {
  const double all = (to.wall_s - from.wall_s) * static_cast<double>(std::thread::hardware_concurrency());
  const double others = to.machine_s - from.machine_s - (to.own_s - from.own_s);
  return (std::max(0.0, others) + to.stolen_s - from.stolen_s) / all;
}

Conditions::Conditions() : begin_(Now()) {
  std::this_thread::sleep_for(kFirstLook);
  others_before_ = ShareOfOthers(begin_, Now());
  Probe();
  Print("Before", others_before_);
}

void Conditions::Probe() {
  const Placement apart = Placements().front();
  if (apart.name != "apart") return;
  Contender line("F_line", Plain("line", apart));
  double least = 0;
  for (int i = 0; i < kProbeRepetitions; ++i) {
    const double us = line.Run({.duration_ns = kProbeNs}).latency().Percentile(0.5);
    least = i == 0 ? us : std::min(least, us);
  }
  line_us_.Add(least);
}

void Conditions::End() {
  Probe();
  others_share_ = ShareOfOthers(begin_, Now());
  Print("In all", others_share_);
}

bool Conditions::near() const {
  return !line_us_.empty() && line_us_.max() <= kMaxNearUs;
}

std::vector<std::string> Conditions::Objections() const {
  std::vector<std::string> objections;
  const double share = std::max(others_share_, others_before_);
  if (share > kMaxOthersShare) {
    objections.push_back(
        absl::StrFormat("others used %.1f %% of the machine (at most %.0f %%)", share * 100, kMaxOthersShare * 100));
  }
  if (!line_us_.empty() && line_us_.max() > kMaxLineSpread * line_us_.min()) {
    objections.push_back(absl::StrFormat("F_line went from %.3f to %.3f us", line_us_.min(), line_us_.max()));
  }
#ifndef NDEBUG
  objections.push_back("this is not a release build");
#endif
  return objections;
}

void Conditions::Print(const std::string& when, double share) const {
  absl::PrintF("%s: others used %.1f %% of the machine; ", when, share * 100);
  if (line_us_.empty()) {
    absl::PrintF("one CPU\n");
  } else {
    absl::PrintF("F_line of all probes %s us: %s\n", line_us_.ToString(),
                 near() ? "near" : "FAR, so rows 1, 2 and 5 do not count");
  }
  std::fflush(stdout);
}

}  // namespace nearcall::bench
