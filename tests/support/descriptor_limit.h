// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

namespace nearcall::testing {

// Lets this process, and those that it starts, have as many descriptors as it may without privilege.
inline void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace nearcall::testing
