// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "histogram.h"
#include "nearcall/bytes.h"
#include "nearcall/call_options.h"
#include "nearcall/channel.h"

namespace nearcall::tools {

// Calls of one method, by several callers at once.
//
// A closed loop: each begins its next call when its last one has ended. An open loop, with a rate: each call has its
// time, whatever became of those before it, and how long it takes counts from then if all callers were busy, so that a
// server that stands still for a moment shows in all calls that should have been made meanwhile
// (https://github.com/HdrHistogram/HdrHistogram#corrected-vs-raw-value-recording-calls). That a caller who had nothing
// to do is woken too late is not the server's, and does not count.
class Load {
 public:
  struct Plan {
    std::string method;
    Bytes request;
    CallOptions options;
    absl::Duration timeout;  // of each call
    size_t callers = 1;
    std::optional<double> rate;   // of all callers together, a second
    std::optional<size_t> calls;  // of all callers together
    absl::Duration duration;      // at most
  };

  struct Failure {
    uint64_t count = 0;
    std::string example;
  };
  struct Result {
    Histogram latency;  // of calls that went well
    std::map<absl::StatusCode, Failure> failures;
    absl::Duration took;

    uint64_t failed() const;
  };

  // The callers use the channels in turn.
  Load(const Plan& plan, std::vector<std::shared_ptr<Channel>> channels)
      : plan_(plan), channels_(std::move(channels)) {}

  // `stop`: it ends when that is set.
  Result Run(const std::atomic<bool>& stop);

 private:
  void Call(size_t caller, const std::atomic<bool>& stop, Result& result);
  bool NextCall(int64_t& due_ns);

  const Plan& plan_;
  const std::vector<std::shared_ptr<Channel>> channels_;
  int64_t since_ns_ = 0;
  int64_t end_ns_ = 0;
  std::atomic<uint64_t> begun_{0};
};

}  // namespace nearcall::tools
