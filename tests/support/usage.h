// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

namespace nearcall::testing {

// The CPU time that a process has used so far; 0 if it does not run.
double CpuMs(pid_t pid);

// What a process has used up so far, all its threads together.
class Usage {
 public:
  // Of a process that runs; nothing if it does not.
  static Usage Of(pid_t pid);

  double CpuMsSince(const Usage& before) const { return cpu_ms_ - before.cpu_ms_; }

  // How often threads went to sleep or lost their CPU. Those that have ended meanwhile do not count.
  int64_t ContextSwitchesSince(const Usage& before) const;

 private:
  double cpu_ms_ = 0;
  std::map<std::string, int64_t> switches_;  // of each thread
};

}  // namespace nearcall::testing
