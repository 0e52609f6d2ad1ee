// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

#include "base/quota.h"

namespace nearcall::rpc {

// How many handlers may run at once. The last place is kept for urgent calls (if there is more than one). Where users
// share the server, each takes a place of its own allowance, too. Thread-safe.
class HandlerSlots {
 public:
  explicit HandlerSlots(size_t max, bool shared = false) : max_(max), shared_(shared) {}

  enum class Taken { kYes, kAllAreTaken, kUserHasItsPart };

  // `account`: of the user whose handler it is; may be null.
  Taken Take(bool urgent, base::Account* account = nullptr) {
    base::Allowance* const places = Places(account);
    if (places != nullptr && !places->TryTake(base::Amount::Of(1))) return Taken::kUserHasItsPart;
    const size_t limit = urgent || max_ == 1 ? max_ : max_ - 1;
    size_t taken = taken_.load(std::memory_order_seq_cst);
    while (taken < limit) {
      if (taken_.compare_exchange_weak(taken, taken + 1, std::memory_order_seq_cst)) return Taken::kYes;
    }
    if (places != nullptr) places->Give(base::Amount::Of(1));
    return Taken::kAllAreTaken;
  }
  bool TryTake(bool urgent, base::Account* account = nullptr) { return Take(urgent, account) == Taken::kYes; }

  // seq_cst: a poller that found no place says so before it looks a last time (Poller::Work); this store comes
  // before the giver's look at what it said.
  void Give(base::Account* account = nullptr) {
    if (base::Allowance* const places = Places(account)) places->Give(base::Amount::Of(1));
    taken_.fetch_sub(1, std::memory_order_seq_cst);
  }

  size_t taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  // A user who shares with nobody may have all of them.
  base::Allowance* Places(base::Account* account) const {
    return shared_ && account != nullptr ? &account->places : nullptr;
  }

  const size_t max_;
  const bool shared_;
  std::atomic<size_t> taken_{0};
};

}  // namespace nearcall::rpc
