// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/call_context.h"

#include <array>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/blocking.h"
#include "base/closer.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "rpc/channel_over.h"
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

absl::Status CallContext::TakeReplyDescriptors(std::shared_ptr<const base::Descriptors>& taken) {
  if (reply_descriptors_.empty()) return absl::OkStatus();
  const auto count = reply_descriptors_.size();
  if (absl::Status may = request_.MaySend(count, "ServerContext::reply_descriptors()"); !may.ok()) return may;
  const std::shared_ptr<base::DescriptorBudget> budget = request_.session->side().budget();
  if (!budget->TryTake(count)) return absl::ResourceExhaustedError(base::kOverDescriptorBudget);
  std::array<base::Fd, base::kMaxMessageDescriptors> own;
  bool all = true;
  for (size_t i = 0; i < count; ++i) {
    own[i].Reset(reply_descriptors_[i].Release());
    all = all && own[i].valid();
  }
  reply_descriptors_.clear();
  taken = base::Shared(base::Descriptors::Own(std::span(own).first(count), budget));
  if (all) return absl::OkStatus();
  return absl::InternalError("the handler's ServerContext::reply_descriptors() hold an object without a descriptor");
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
  for (UniqueFd& unsent : std::exchange(reply_descriptors_, {})) base::CloseElsewhere(base::Fd(unsent.Release()));
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

std::shared_ptr<Channel> CallContext::client() {
  const std::string name = absl::StrCat("the caller (pid ", peer().pid, ", ", transport(), ")");
  std::shared_ptr<Channel> channel;
  base::UntilThereIsMemory([&] {
    std::shared_ptr<session::ClientSession> session = request_.session->back().Session(request_.session);
    absl::Status after =
        session == nullptr
            ? absl::UnimplementedError(absl::StrCat(name, " serves nothing over this connection: its channel has no ",
                                                    "ChannelOptions::services"))
            : absl::UnavailableError(absl::StrCat(name, " has gone away, and nobody can connect to it again"));
    channel = ChannelOver(std::move(session), std::move(after),
                          {.max_message_size = core_.options.max_message_size,
                           .log_sink = core_.options.log_sink,
                           .callback_stack_size = core_.options.handler_stack_size,
                           .stream_window_bytes = core_.options.stream_window_bytes,
                           .event_queue = core_.options.event_queue});
  });
  return channel;
}

void CallContext::WillBlock() {
  base::BlockingObserver::AboutToBlock();
}

}  // namespace nearcall::rpc
