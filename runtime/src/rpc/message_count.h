// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace nearcall::rpc {

// How many messages have gone by: counted by one thread at a time, asked for by any.
class MessageCount {
 public:
  void Add() { count_.store(get() + 1, std::memory_order_relaxed); }
  void Reset() { count_.store(0, std::memory_order_relaxed); }
  uint64_t get() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> count_{0};
};

}  // namespace nearcall::rpc
