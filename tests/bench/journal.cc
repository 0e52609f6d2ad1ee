// SPDX-License-Identifier: Apache-2.0
#include "bench/journal.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_format.h"

namespace nearcall::bench {

namespace {

std::string Digits(double value) {
  return absl::StrFormat("%.*f", value < 10 ? 2 : value < 100 ? 1 : 0, value);
}

void PrintTable(const std::string& title, const std::vector<Measurement>& measurements) {
  const bool many = std::any_of(measurements.begin(), measurements.end(),
                                [](const Measurement& m) { return m.clients * m.batch.threads > 1; });
  absl::PrintF("\n%s\n  %-18s %-24s %-24s %8s %9s %11s %7s %17s%s\n", title, "", "p50 us [min .. max]",
               "p99 us [min .. max]", "p99.9", "of calls", "calls/s", "GB/s", "CPU us c / s",
               many ? "  max/min calls" : "");
  for (const Measurement& m : measurements) {
    absl::PrintF("  %-18s %-24s %-24s %8s %9d", m.who, m.p50_us.ToString(), m.p99_us.ToString(),
                 Digits(m.latency.Percentile(0.999)), m.latency.count());
    const std::string rate = m.calls_per_second.empty() ? ""
                                                        : absl::StrFormat("%11.0f %7.3f", m.calls_per_second.median(),
                                                                          m.gigabytes_per_second());
    absl::PrintF(" %19s", rate);
    if (!m.client_cpu_us.empty()) {
      absl::PrintF(" %8s /%7s%s", Digits(m.client_cpu_us.median()), Digits(m.server_cpu_us.median()),
                   many ? "  " + m.fairness.ToString() : "");
    }
    absl::PrintF("\n");
  }
  std::fflush(stdout);
}

}  // namespace

void Journal::Add(const std::string& title, std::vector<Measurement> measurements) {
  PrintTable(title, measurements);
  for (Measurement& measurement : measurements) measurements_.push_back(std::move(measurement));
}

void Journal::Add(Figure figure) {
  absl::PrintF("  %-58s %s %s\n", figure.name, figure.values.ToString(), figure.unit);
  std::fflush(stdout);
  figures_.push_back(std::move(figure));
}

const Measurement* Journal::Find(const std::string& section, const std::string& variant, const std::string& who) const {
  const auto found = std::find_if(measurements_.begin(), measurements_.end(), [&](const Measurement& m) {
    return m.section == section && m.variant == variant && m.who == who;
  });
  return found == measurements_.end() ? nullptr : &*found;
}

const Measurement* Journal::FindGrpc(const std::string& section, const std::string& variant,
                                     Series Measurement::*figure, Better better) const {
  const Measurement* best = nullptr;
  for (const char* who : {"gRPC", "gRPC, queues"}) {
    const Measurement* found = Find(section, variant, who);
    if (found == nullptr || (found->*figure).empty()) continue;
    const bool is_less = best == nullptr || (found->*figure).median() < (best->*figure).median();
    if (best == nullptr || is_less == (better == Better::kLess)) best = found;
  }
  return best;
}

const Figure* Journal::FindFigure(const std::string& section, const std::string& name) const {
  const auto found = std::find_if(figures_.begin(), figures_.end(),
                                  [&](const Figure& f) { return f.section == section && f.name == name; });
  return found == figures_.end() ? nullptr : &*found;
}

}  // namespace nearcall::bench
