#pragma once

#include <atomic>
#include <cstddef>

namespace nearcall::rpc {

// How many handlers may run at once. The last place is kept for urgent calls (if there is more than one). Thread-safe.
class HandlerSlots {
 public:
  explicit HandlerSlots(size_t max) : max_(max) {}

  bool TryTake(bool urgent) {
    const size_t limit = urgent || max_ == 1 ? max_ : max_ - 1;
    size_t taken = taken_.load(std::memory_order_seq_cst);
    while (taken < limit) {
      if (taken_.compare_exchange_weak(taken, taken + 1, std::memory_order_seq_cst)) return true;
    }
    return false;
  }

  // seq_cst: a poller that found no place says so before it looks a last time (Poller::PrepareSleep); this store comes
  // before the giver's look at what it said.
  void Give() { taken_.fetch_sub(1, std::memory_order_seq_cst); }

  size_t taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  const size_t max_;
  std::atomic<size_t> taken_{0};
};

}  // namespace nearcall::rpc
