// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/cancellation.h"

namespace nearcall::rpc {

void Cancellation::Cancel() {
  base::MutexLock lock(mutex_);
  cancelled_.store(true, std::memory_order_release);
  if (stop_ != nullptr) stop_->Post();
}

std::stop_token Cancellation::Token(base::SteadyNs deadline) {
  std::shared_ptr<StopRequest> stop;
  {
    base::MutexLock lock(mutex_);
    if (stop_ != nullptr) return stop_->token();
    stop = stop_ = std::make_shared<StopRequest>(core_.canceller);
    has_token_.store(true, std::memory_order_relaxed);
    // A cancel that came before there was somebody to tell.
    if (cancelled()) stop->MakeNow();
  }
  if (deadline != base::kNever) {
    auto timer = transport::StartTimer(
        deadline, [stop] { stop->Post(); }, core_.reactor());
    // It cannot fail: the connection keeps the monitor alive.
    if (timer.ok()) at_deadline_ = *std::move(timer);
  }
  return stop->token();
}

void Cancellation::Reset() {
  cancelled_.store(false, std::memory_order_relaxed);
  // Most handlers never ask, and their calls cost no lock.
  if (!has_token_.load(std::memory_order_relaxed)) return;
  has_token_.store(false, std::memory_order_relaxed);
  at_deadline_.reset();
  base::MutexLock lock(mutex_);
  stop_.reset();
}

}  // namespace nearcall::rpc
