// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/call_context.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/blocking.h"
#include "rpc/server/server_stream.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

absl::Status CallContext::Decode() {
  if (request_.envelope().empty()) return absl::OkStatus();
  absl::StatusOr<Metadata> metadata = wire::DecodeMetadataEnvelope(request_.envelope());
  if (!metadata.ok()) return metadata.status();
  client_metadata_ = *std::move(metadata);
  return absl::OkStatus();
}

void CallContext::Cancel() {
  base::MutexLock lock(stop_mutex_);
  cancelled_.store(true, std::memory_order_release);
  if (stop_ != nullptr) stop_->Post();
}

void CallContext::Reset() {
  stream_ = nullptr;
  stop_at_deadline_.reset();
  {
    base::MutexLock lock(stop_mutex_);
    stop_.reset();
  }
  cancelled_.store(false, std::memory_order_relaxed);
  client_metadata_.Clear();
  initial_metadata_.Clear();
  trailing_metadata_.Clear();
}

absl::Time CallContext::deadline() const {
  if (request_.deadline == base::kNever) return absl::InfiniteFuture();
  return absl::Now() + absl::Nanoseconds(request_.deadline - base::NowNs());
}

bool CallContext::IsCancelled() const {
  return cancelled_.load(std::memory_order_acquire) || request_.expired();
}

std::stop_token CallContext::stop_token() {
  std::shared_ptr<StopRequest> stop;
  {
    base::MutexLock lock(stop_mutex_);
    if (stop_ != nullptr) return stop_->token();
    stop = stop_ = std::make_shared<StopRequest>(core_.canceller);
    // A cancel that came before there was somebody to tell.
    if (cancelled_.load(std::memory_order_relaxed)) stop->MakeNow();
  }
  if (request_.deadline != base::kNever) {
    auto timer = transport::StartTimer(
        request_.deadline, [stop] { stop->Post(); }, core_.reactor());
    // It cannot fail: the connection keeps the monitor alive.
    if (timer.ok()) stop_at_deadline_ = *std::move(timer);
  }
  return stop->token();
}

void CallContext::SendInitialMetadata() {
  if (stream_ == nullptr || !internal::ServerStreams(request_.kind())) return;
  static_cast<void>(stream_->SendInitialMetadata());
}

void CallContext::WillBlock() {
  base::BlockingObserver::AboutToBlock();
}

}  // namespace nearcall::rpc
