// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>

namespace nearcall::base {

// Pauses between attempts: each twice the one before, from `first_ns` to `longest_ns`, and then anything from half to
// one and a half of that, so that those who failed together do not come again together. Used by one thread at
// a time.
class Backoff {
 public:
  Backoff(int64_t first_ns, int64_t longest_ns);

  int64_t NextNs();
  // What was tried has come about: the next pause is a first one again.
  void Reset() { pause_ns_ = first_ns_; }

 private:
  const int64_t first_ns_;
  const int64_t longest_ns_;
  int64_t pause_ns_;
  std::minstd_rand random_;
};

}  // namespace nearcall::base
