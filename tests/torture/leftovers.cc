// SPDX-License-Identifier: Apache-2.0
#include "torture/leftovers.h"

#include <sched.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "transport_under_test.h"

namespace nearcall::integration {

// Only where queues are left: message queues are counted by the namespace, too.
Leftovers::Leftovers() : own_queues_(TransportUnderTest().sweep != nullptr && ::unshare(CLONE_NEWIPC) == 0) {}

std::string Leftovers::In(const std::string& directory) const {
  std::string left;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    if (file.is_socket() || file.is_symlink() || file.is_fifo()) absl::StrAppend(&left, " ", file.path().string());
  }
  if (!own_queues_) return left;
  std::ifstream table("/proc/sysvipc/msg");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) absl::StrAppend(&left, " queue", line);
  return left;
}

}  // namespace nearcall::integration
