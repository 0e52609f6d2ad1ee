// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace search {

// How much of so many bytes is done: a line that is drawn again and again on a terminal, and nothing elsewhere. Gone at
// its end.
class ProgressBar {
 public:
  // `terminal` outlives this. Null: there is none, and nothing is shown.
  ProgressBar(std::ostream* terminal, uint64_t total_bytes) : terminal_(terminal), total_(total_bytes) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();

  // `what` goes on just now. Draws at most so often as eyes can follow.
  void Advance(uint64_t bytes, absl::string_view what);

 private:
  std::ostream* const terminal_;
  const uint64_t total_;
  uint64_t done_ = 0;
  absl::Time next_drawing_ = absl::InfinitePast();
};

}  // namespace search
