// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace nearcall::bench {

// The default of ChannelOptions and ServerOptions.
inline constexpr int64_t kSpinUs = 50;

// How long to measure. Either way each figure is measured at least ten times, in alternation with what it is compared
// with, except where many processes take part.
struct Plan {
  bool full;
  int repetitions;
  int64_t batch_ns;  // back to back

  int64_t Choose(int64_t quick, int64_t when_full) const { return full ? when_full : quick; }
};

inline constexpr Plan kQuick = {.full = false, .repetitions = 10, .batch_ns = 20'000'000};
inline constexpr Plan kFull = {.full = true, .repetitions = 10, .batch_ns = 100'000'000};

}  // namespace nearcall::bench
