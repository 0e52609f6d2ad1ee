// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <fstream>
#include <string>

namespace nearcall::testing {

// Whether the kernel says that a thread (of any process) sleeps: the state behind its name in proc_pid_stat(5).
inline bool IsAsleep(pid_t tid) {
  std::ifstream file("/proc/" + std::to_string(tid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  return stat.find(") S ") != std::string::npos;
}

// Until it does; who has not begun yet is 0.
inline void AwaitAsleep(const std::atomic<pid_t>& tid) {
  while (tid == 0 || !IsAsleep(tid)) ::sched_yield();
}

}  // namespace nearcall::testing
