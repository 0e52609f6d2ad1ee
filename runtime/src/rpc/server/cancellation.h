// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "rpc/server/server_core.h"
#include "rpc/server/stop_request.h"
#include "transport/control.h"

namespace nearcall::rpc {

// Whether anybody waits for a call's answer still, and how its handler is told. Part of the call.
class Cancellation {
 public:
  explicit Cancellation(ServerCore& core) : core_(core) {}

  // Nobody waits for the answer any more. Any thread; runs no code of the user's.
  void Cancel();
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // By the handler. The stop is requested by Cancel(), and at `deadline`.
  std::stop_token Token(base::SteadyNs deadline);

  // For the next call. Cancel() is not called any more for this one.
  void Reset();

 private:
  ServerCore& core_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> has_token_{false};
  base::Mutex mutex_;
  std::shared_ptr<StopRequest> stop_ ABSL_GUARDED_BY(mutex_);  // once somebody has asked for the token
  std::unique_ptr<transport::Timer> at_deadline_;
};

}  // namespace nearcall::rpc
