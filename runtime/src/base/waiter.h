// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace nearcall::base {

// One thread that waits, and others that tell it something. Two kinds of news: Finish(), once and for good ("what you
// wait for has happened"), and Poke() ("look again"). Lives on the stack of the waiting thread.
//
// Threads: Wait() and finished() by the owner; Finish() and Poke() by any thread. The owner may destroy the waiter as
// soon as it sees finished(): Finish() touches nothing of it after the one atomic step that makes it so. Who calls
// Poke() must know by other means (a lock) that the waiter still exists.
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  bool finished() const { return (state_.load(std::memory_order_acquire) & kFinished) != 0; }

  void Finish() { Tell(kFinished); }
  void Poke() { Tell(kPoked); }

  // Returns when finished, when poked (which it forgets then), or at `until`.
  void Wait(SteadyNs until);

 private:
  static constexpr uint32_t kFinished = 1;
  static constexpr uint32_t kPoked = 2;
  static constexpr uint32_t kAsleep = 4;

  void Tell(uint32_t news);

  std::atomic<uint32_t> state_{0};
};

}  // namespace nearcall::base
