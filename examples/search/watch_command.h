// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "search.nearcall.pb.h"

namespace search {

// Where a watch's words and hits come from and go to.
struct WatchTerminal {
  int changes_fd;        // lines of words to watch too, or, behind `-`, no longer
  std::ostream& out;     // hits, and what is watched
  std::ostream& errors;  // lines that make no sense
};

// Prints each of the words that stands in a file that comes into the index from now on, until the call is cancelled, or
// there were `max_hits` (0: any number).
absl::Status PrintWatch(const v1::Search::Stub& stub, const std::vector<std::string>& words, size_t max_hits,
                        const WatchTerminal& terminal, const nearcall::CallOptions& options);

}  // namespace search
