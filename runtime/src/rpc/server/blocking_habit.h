// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/limits.h"

namespace nearcall::rpc {

// What a server learns of one method: whether its handlers block. One that has taken kBlockingHandlerNs makes the next
// ones run on threads of their own, as if the method had said may_block, until kQuickRuns of these were quick. Any
// thread.
class BlockingHabit {
 public:
  bool blocks() const { return doubt_.load(std::memory_order_relaxed) != 0; }

  // A handler has run for so long, or does already. (That two at once may count as one is as good.)
  void Ran(int64_t ns) {
    if (ns >= base::kBlockingHandlerNs) {
      doubt_.store(kQuickRuns, std::memory_order_relaxed);
    } else if (const uint32_t doubt = doubt_.load(std::memory_order_relaxed); doubt != 0) {
      doubt_.store(doubt - 1, std::memory_order_relaxed);
    }
  }

  static constexpr uint32_t kQuickRuns = 16;

 private:
  std::atomic<uint32_t> doubt_{0};
};

}  // namespace nearcall::rpc
