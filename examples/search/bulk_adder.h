// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "search.nearcall.pb.h"

namespace search {

// How many files may be on their way at once: enough that the link never runs dry, and so few bytes that no call ever
// finds the channel's queue full (ChannelOptions::max_queued_bytes). A file that is larger goes alone.
struct BulkWindow {
  size_t max_calls = 64;
  size_t max_bytes = size_t{4} << 20;
};

// Sends whole files to a server's index, each by a call of its own, many at a time: by callback. Used by one thread;
// the callbacks run on the channel's.
class BulkAdder {
 public:
  struct Totals {  // of the files that the server has taken
    size_t files = 0;
    size_t bytes = 0;
    size_t replaced = 0;
    size_t unchanged = 0;
  };

  // `options` are those of each call.
  explicit BulkAdder(const v1::Search::AsyncStub& stub, BulkWindow window = {}, nearcall::CallOptions options = {})
      : stub_(stub), window_(window), options_(std::move(options)) {}
  BulkAdder(const BulkAdder&) = delete;
  BulkAdder& operator=(const BulkAdder&) = delete;
  ~BulkAdder();  // waits for what is on its way

  // Waits for room in the window, not for the reply. After a failure nothing more is sent: it is what this returns.
  absl::Status Send(const v1::AddRequest& request);

  // Waits until every file has been answered, and returns the first failure.
  absl::Status Finish();

  Totals totals() const;

 private:
  struct OnItsWay {
    size_t calls = 0;
    size_t bytes = 0;
  };

  bool HasRoom(size_t bytes) const;  // under the lock
  void OnReply(size_t bytes, const absl::StatusOr<v1::AddReply>& reply);

  const v1::Search::AsyncStub stub_;
  const BulkWindow window_;
  const nearcall::CallOptions options_;

  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable answered_;
  OnItsWay on_its_way_;
  Totals totals_;
  absl::Status failure_;
};

}  // namespace search
