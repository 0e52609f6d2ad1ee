// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "load.h"
#include "search.nearcall.pb.h"
#include "tree.h"
#include "upload.h"

// What the search client can do. Each prints its findings to `out` and returns what went wrong, in words for people.
namespace search {

// Each hit as it is found. NOT_FOUND if no file holds all the words. After `max_hits` (0: never) it has the server
// stop.
absl::Status PrintHits(const v1::Search::Stub& stub, absl::string_view query, size_t max_hits, std::ostream& out,
                       const nearcall::CallOptions& options = {});

// The best hits, when all are known. NOT_FOUND as above. Prints the same whenever the index is the same.
absl::Status PrintBestHits(const v1::Search::Stub& stub, absl::string_view query, uint32_t max_hits, std::ostream& out,
                           const nearcall::CallOptions& options = {});

// Sends files, and prints what the server has taken. `terminal`: where to draw how far it is; null: nowhere.
absl::Status AddFiles(const v1::Search::Stub& stub, const FileList& files, size_t max_file_bytes, std::ostream& out,
                      std::ostream* terminal = nullptr, const nearcall::CallOptions& options = {});

// Sends the text files of a directory tree and prints what that does to the latency of a question (see MeasureLoad).
absl::Status Load(const std::shared_ptr<nearcall::Channel>& channel, absl::string_view query, const std::string& root,
                  const TreeLimits& limits, const LoadOptions& options, std::ostream& out);

absl::Status Reindex(const v1::Search::Stub& stub, std::ostream& out, const nearcall::CallOptions& options = {});

absl::Status PrintStats(const v1::Search::Stub& stub, std::ostream& out, const nearcall::CallOptions& options = {});

struct BenchOptions {
  size_t calls = 10000;  // of each thread
  size_t threads = 1;
  uint32_t max_hits = 10;
  std::stop_token stop_token = {};  // ends it with CANCELLED
};

// Asks the same question over and over; prints latencies and calls per second. The first failure ends it. Without a
// query it asks for the stats: what a call costs when there is nothing to do.
absl::Status Bench(const v1::Search::Stub& stub, absl::string_view query, const BenchOptions& options,
                   std::ostream& out);

}  // namespace search
