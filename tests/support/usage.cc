// SPDX-License-Identifier: Apache-2.0
#include "support/usage.h"

#include <time.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace nearcall::testing {

namespace {

int64_t SwitchesIn(const std::filesystem::path& thread) {
  int64_t sum = 0;
  std::ifstream status(thread / "status");
  for (std::string line; std::getline(status, line);) {
    if (absl::StrContains(line, "ctxt_switches:")) sum += std::stoll(line.substr(line.find(':') + 1));
  }
  return sum;
}

}  // namespace

double CpuMs(pid_t pid) {
  clockid_t clock;
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

Usage Usage::Of(pid_t pid) {
  Usage usage;
  usage.cpu_ms_ = CpuMs(pid);
  std::error_code ignored;
  for (const auto& thread : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"), ignored)) {
    usage.switches_[thread.path().filename()] = SwitchesIn(thread.path());
  }
  return usage;
}

int64_t Usage::ContextSwitchesSince(const Usage& before) const {
  int64_t sum = 0;
  for (const auto& [thread, count] : switches_) {
    const auto earlier = before.switches_.find(thread);
    sum += count - (earlier == before.switches_.end() ? 0 : earlier->second);
  }
  return sum;
}

}  // namespace nearcall::testing
