// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "base/check.h"

namespace nearcall::rpc {

// One end of a stream has one reader, and one writer: a second one at the same time is a fault of the program that
// nothing can be made of.
class OnlyOne {
 public:
  explicit OnlyOne(std::atomic<bool>& taken) : taken_(taken) {
    const bool a_second_reader_or_writer_of_a_stream = taken.exchange(true, std::memory_order_acquire);
    NEARCALL_CHECK(!a_second_reader_or_writer_of_a_stream);
  }
  ~OnlyOne() { taken_.store(false, std::memory_order_release); }
  OnlyOne(const OnlyOne&) = delete;
  OnlyOne& operator=(const OnlyOne&) = delete;

 private:
  std::atomic<bool>& taken_;
};

}  // namespace nearcall::rpc
