// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "latency.h"
#include "search.nearcall.pb.h"

// An urgent question beside a bulk load, on one connection: what priorities are for.
namespace search {

struct LoadOptions {
  absl::Duration alone = absl::Seconds(1);
  absl::Duration beside = absl::Seconds(2);
  uint32_t max_hits = 10;
  std::stop_token stop_token = {};  // ends it with CANCELLED
};

struct LoadReport {
  std::string transport;
  uint64_t hits = 0;  // files that hold all words of the question
  Latencies alone;
  Latencies beside;
  double megabytes_per_second = 0;

  // Two lines, a heading and the figures, in columns: the figures of several reports make a table.
  void Print(std::ostream& out);
};

// Sends `files` to the index, asks one question over and over, and then asks it while it sends the files again and
// again: the server has them already, so that the link is the bottleneck and not the index. The first failure ends it;
// an answer with other hits is one, as nothing changes in the index.
absl::StatusOr<LoadReport> MeasureLoad(const std::shared_ptr<nearcall::Channel>& channel, absl::string_view query,
                                       const std::vector<v1::AddRequest>& files, const LoadOptions& options);

}  // namespace search
