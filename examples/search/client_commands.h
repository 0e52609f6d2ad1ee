// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "load.h"
#include "search.nearcall.pb.h"
#include "tree.h"

// What the search client can do. Each prints its findings to `out` and returns what went wrong, in words for people.
namespace search {

// NOT_FOUND if no file holds all the words. Prints the same whenever the index is the same.
absl::Status PrintHits(const v1::Search::Stub& stub, absl::string_view query, uint32_t max_hits, std::ostream& out);

// Sends whole files, many at a time. One that cannot be read ends it.
absl::Status AddFiles(const v1::Search::AsyncStub& stub, const std::vector<std::string>& paths, size_t max_file_bytes,
                      std::ostream& out);

// Sends the text files of a directory tree, many at a time.
absl::Status AddTree(const v1::Search::AsyncStub& stub, const std::string& root, const TreeLimits& limits,
                     std::ostream& out);

// Sends the text files of a directory tree and prints what that does to the latency of a question (see MeasureLoad).
absl::Status Load(const std::shared_ptr<nearcall::Channel>& channel, absl::string_view query, const std::string& root,
                  const TreeLimits& limits, const LoadOptions& options, std::ostream& out);

absl::Status Reindex(const v1::Search::Stub& stub, std::ostream& out);

absl::Status PrintStats(const v1::Search::Stub& stub, std::ostream& out);

struct BenchOptions {
  size_t calls = 10000;  // of each thread
  size_t threads = 1;
  uint32_t max_hits = 10;
};

// Asks the same question over and over; prints latencies and calls per second. The first failure ends it. Without a
// query it asks for the stats: what a call costs when there is nothing to do.
absl::Status Bench(const v1::Search::Stub& stub, absl::string_view query, const BenchOptions& options,
                   std::ostream& out);

}  // namespace search
