// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/call_context.h"

#include <algorithm>
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
#include "base/syscall.h"
#include "rpc/channel_over.h"
#include "rpc/server/server_stream.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

absl::Status CallContext::Decode() {
  if (!request_.envelope().empty()) {
    absl::StatusOr<Metadata> metadata = wire::DecodeMetadataEnvelope(request_.envelope());
    if (!metadata.ok()) return metadata.status();
    client_metadata_ = *std::move(metadata);
  }
  if (request_.message.attachments.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<Buffer>> opened = OpenAttachments(request_.message);
  if (!opened.ok()) {
    return absl::Status(opened.status().code(), absl::StrCat("the request's ", opened.status().message()));
  }
  attachments_ = *std::move(opened);
  return absl::OkStatus();
}

absl::StatusOr<Attached> CallContext::TakeReplyAttachments() {
  if (reply_attachments_.empty()) return Attached();
  // Only how many there are counts.
  constexpr std::array<int, base::kMaxMessageDescriptors> kNumbers{};
  const auto beside = std::span(kNumbers).first(std::min(reply_descriptors_.size(), kNumbers.size()));
  absl::StatusOr<Attached> attached = Attached::To(request_.session->side(), reply_attachments_, beside,
                                                   "the handler's ServerContext::reply_attachments()");
  reply_attachments_.clear();
  if (absl::IsInvalidArgument(attached.status())) return absl::InternalError(attached.status().message());
  return attached;
}

absl::Status CallContext::TakeReplyDescriptors(std::span<const int> passed,
                                               std::shared_ptr<const base::Descriptors>& taken) {
  const size_t own_count = reply_descriptors_.size();
  const size_t count = own_count + passed.size();
  if (count == 0) return absl::OkStatus();
  if (own_count != 0) {
    if (absl::Status may = request_.MaySend(own_count, "ServerContext::reply_descriptors()"); !may.ok()) return may;
  }
  const std::shared_ptr<base::DescriptorBudget> budget = request_.session->side().budget();
  if (!budget->TryTake(count)) return absl::ResourceExhaustedError(base::kOverDescriptorBudget);
  std::array<base::Fd, base::kMaxMessageDescriptors> own;
  absl::Status failure;
  for (size_t i = 0; i < own_count; ++i) {
    own[i].Reset(reply_descriptors_[i].Release());
    if (own[i].valid()) continue;
    failure =
        absl::InternalError("the handler's ServerContext::reply_descriptors() hold an object without a descriptor");
  }
  reply_descriptors_.clear();
  for (size_t i = 0; i < passed.size(); ++i) {
    own[own_count + i] = base::Duplicate(passed[i]);
    if (own[own_count + i].valid()) continue;
    failure.Update(base::ErrnoStatus("cannot keep an attachment until it can be sent"));
  }
  taken = base::Shared(base::Descriptors::Own(std::span(own).first(count), budget));
  return failure;
}

void CallContext::Reset() {
  stream_ = nullptr;
  cancellation_.Reset();
  client_metadata_.Clear();
  initial_metadata_.Clear();
  trailing_metadata_.Clear();
  attachments_.clear();
  reply_attachments_.clear();
  for (UniqueFd& unsent : std::exchange(reply_descriptors_, {})) base::CloseElsewhere(base::Fd(unsent.Release()));
}

absl::Time CallContext::deadline() const {
  if (request_.deadline == base::kNever) return absl::InfiniteFuture();
  return absl::Now() + absl::Nanoseconds(request_.deadline - base::NowNs());
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

namespace nearcall {

const Buffer& ServerContext::attachment(size_t i) const {
  static const Buffer none;
  return i < attachments().size() ? attachments()[i] : none;
}

}  // namespace nearcall
