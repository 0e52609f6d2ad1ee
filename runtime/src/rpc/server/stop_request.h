// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <stop_token>
#include <utility>

#include "base/user_threads.h"

namespace nearcall::rpc {

// What a call's stop token hangs on. Its stop is requested by the canceller: whoever hears of a cancel, the monitor
// above all, must not run the handler's stop callbacks. Owned by its call, and by itself while it waits for the
// canceller.
class StopRequest final : public base::UserThreads::Task, public std::enable_shared_from_this<StopRequest> {
 public:
  explicit StopRequest(std::shared_ptr<base::UserThreads> canceller) : canceller_(std::move(canceller)) {}
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;

  std::stop_token token() const { return source_.get_token(); }

  // Any thread; allocates nothing. What is to be told comes once.
  void Post() {
    if (posted_.exchange(true, std::memory_order_relaxed)) return;
    self_ = shared_from_this();
    canceller_->Post(*this);
  }

  // While nobody has its token.
  void MakeNow() { source_.request_stop(); }

 private:
  void Run() override {
    const std::shared_ptr<StopRequest> self = std::move(self_);
    source_.request_stop();
  }

  const std::shared_ptr<base::UserThreads> canceller_;
  std::stop_source source_;
  std::atomic<bool> posted_{false};
  std::shared_ptr<StopRequest> self_;  // while it waits
};

}  // namespace nearcall::rpc
