// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace nearcall::base {

// How often this process is a fork()ed child of one that used Nearcall: bumped in the child by pthread_atfork(3). What
// was made in another generation belongs to the parent: its mappings are not in the child (MADV_DONTFORK), its threads
// do not run there. Comparing costs one load, where getpid() would cost a system call.
uint64_t ForkGeneration();

// Remembers the generation in which it was made.
class ForkGuard {
 public:
  ForkGuard() : generation_(ForkGeneration()) {}
  bool InChild() const { return generation_ != ForkGeneration(); }

 private:
  uint64_t generation_;
};

namespace internal {
extern std::atomic<uint64_t> fork_generation;
}

inline uint64_t ForkGeneration() {
  return internal::fork_generation.load(std::memory_order_relaxed);
}

}  // namespace nearcall::base
