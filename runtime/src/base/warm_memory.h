// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "base/clock.h"

namespace nearcall::base {

class Reactor;

// Large blocks of memory that were in use a moment ago, for whoever needs one next: every page of fresh memory costs a
// page fault, which for a mebibyte takes longer than to copy it. Of the process, as malloc(3)'s own memory is.
//
// Bounded: kMaxWarmBytes in all, and what nobody has needed for kWarmNs goes back to the system. Any thread; nobody
// waits: who finds it in use gets fresh memory, or gives back to the system.
class WarmMemory {
 public:
  // What is smaller the allocator keeps by itself.
  static constexpr size_t kMinBlock = size_t{64} << 10;

  struct Block {
    std::byte* data = nullptr;
    size_t size = 0;
  };

  // At least `size` bytes, which is kMinBlock or more, and not much more. `data` is null: there is no memory.
  static Block TryTake(size_t size);
  static void Give(Block block) noexcept;

  // What is kept now.
  static size_t bytes_kept();

  // The thread that takes the turns of `reactor` gives back what is not needed.
  static void CareWith(const std::shared_ptr<Reactor>& reactor);
  // Gives back what was last used before `until`; kNever: all. Not in a forked child.
  static void GiveBackOlderThan(SteadyNs until);
};

}  // namespace nearcall::base
