// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

#include "base/limits.h"
#include "session/outgoing.h"

namespace nearcall::session {

// How much waits to be sent: as of a moment ago, for the price of a load. Changed under the outbox's lock.
class HeldBytes {
 public:
  // What the outbox keeps, and what that costs, even if it is empty.
  size_t kept() const { return kept_.load(std::memory_order_relaxed); }
  size_t cost() const { return kept() + base::kKeptMessageCost * messages_.load(std::memory_order_relaxed); }
  // And what senders lend.
  size_t all() const { return kept() + lent_.load(std::memory_order_relaxed); }

  // `message` waits, or does no longer.
  void Add(const Outgoing& message) {
    if (!message.owned) {
      lent_.fetch_add(message.piece.size(), std::memory_order_relaxed);
      return;
    }
    kept_.fetch_add(message.kept.size(), std::memory_order_relaxed);
    messages_.fetch_add(1, std::memory_order_relaxed);
  }
  void Remove(const Outgoing& message) {
    if (!message.owned) {
      lent_.fetch_sub(message.piece.size(), std::memory_order_relaxed);
      return;
    }
    kept_.fetch_sub(message.kept.size(), std::memory_order_relaxed);
    messages_.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<size_t> kept_{0};
  std::atomic<size_t> messages_{0};
  std::atomic<size_t> lent_{0};
};

}  // namespace nearcall::session
