// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

namespace nearcall::testing {

// What a process holds of the kernel's: open descriptors, mappings of shared memory, threads, what stands in /dev/shm
// and /dev/mqueue, System V queues that it has used, and temporary directories, its children's too.
struct Resources {
  std::multiset<std::string> descriptors;  // "5 -> socket:[...]"
  std::multiset<std::string> mappings;     // of memfds
  size_t threads = 0;
  std::multiset<std::string> names;  // in /dev/shm and /dev/mqueue; "a System V queue"; directories

  static Resources Now();

  // What `this` has more than `before`, in words; empty if nothing. Waits up to two seconds for threads that are just
  // ending and descriptors that they close.
  static std::string LeakedSince(const Resources& before);
};

}  // namespace nearcall::testing
