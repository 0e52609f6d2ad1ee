// SPDX-License-Identifier: Apache-2.0
#include "base/backoff.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/clock.h"

namespace nearcall::base {

namespace {

// Differs in each process and thread that begins at the same moment; nothing secret hangs on it.
uint32_t Seed() {
  static std::atomic<uint32_t> count{0};
  const uint64_t mixed = (static_cast<uint64_t>(NowNs()) ^ (uint64_t{count.fetch_add(1)} << 40) ^
                          (static_cast<uint64_t>(::getpid()) << 20)) *
                         0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(mixed >> 32);
}

}  // namespace

Backoff::Backoff(int64_t first_ns, int64_t longest_ns)
    : first_ns_(first_ns), longest_ns_(longest_ns), pause_ns_(first_ns), random_(Seed()) {
  random_.discard(3);  // the first numbers of near seeds are near, too
}

int64_t Backoff::NextNs() {
  const int64_t pause = pause_ns_;
  pause_ns_ = std::min(2 * pause_ns_, longest_ns_);
  return std::uniform_int_distribution<int64_t>(pause / 2, pause + pause / 2)(random_);
}

}  // namespace nearcall::base
