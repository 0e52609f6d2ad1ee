// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/call_head.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exec_state.h"
#include "base/limits.h"
#include "base/probes.h"
#include "nearcall/internal/unary.h"
#include "rpc/client/call_descriptors.h"
#include "rpc/client/generic_method.h"
#include "rpc/client/size_limit.h"
#include "rpc/parse_message.h"
#include "rpc/serialize.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

namespace {

using base::WithExecState;

constexpr size_t kMaxNameToShow = 200;

absl::Status NotSent(absl::Status status) {
  return WithExecState(std::move(status), ExecState::kNotSent);
}

// Of one that is sent by its name.
absl::Status CheckName(absl::string_view name) {
  if (wire::IsMethodName(name)) return absl::OkStatus();
  return NotSent(absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::CHexEscape(name.substr(0, kMaxNameToShow)),
      "\" is no method's name; expected package.Service/Method, at most ", base::kMaxMethodNameSize, " B")));
}

base::SteadyNs DeadlineOf(const internal::MethodInfo& method, const CallOptions& options, base::SteadyNs started) {
  base::SteadyNs deadline = base::kNever;
  if (options.timeout.has_value()) {
    deadline = base::AddNs(started, absl::ToInt64Nanoseconds(*options.timeout));
  } else if (!options.deadline.has_value() && method.timeout_ns > 0) {
    deadline = base::AddNs(started, method.timeout_ns);
  }
  if (!options.deadline.has_value()) return deadline;
  return std::min(deadline, base::AddNs(started, absl::ToInt64Nanoseconds(*options.deadline - absl::Now())));
}

}  // namespace

bool GoesElsewhere(session::ClientSession& session, const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return false;
  const ExecState exec_state = ExecStateOf(status);
  if (exec_state == ExecState::kNotStarted) session.callers().Retire();
  const bool unused = exec_state == ExecState::kNotStarted || exec_state == ExecState::kNotSent;
  return unused && !session.usable();
}

CallHead::CallHead(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size)
    : keep_method_(KeptBy(method)),
      method_(method),
      options_(options),
      max_message_size_(max_message_size),
      priority_(options.priority.value_or(method.priority)),
      started_(base::NowNs()),
      deadline_(DeadlineOf(method, options, started_)),
      elements_(method_, priority_, max_message_size) {}

absl::Status CallHead::Prepare(const google::protobuf::MessageLite* request) {
  NEARCALL_PROBE2(client_call_start, this, method_.full_name);
  if (options_.response_metadata != nullptr) *options_.response_metadata = {};
  if (options_.reply_descriptors != nullptr) options_.reply_descriptors->clear();
  if (options_.reply_attachments != nullptr) options_.reply_attachments->clear();
  if (static_cast<size_t>(priority_) >= base::kLanes) {
    return NotSent(absl::InvalidArgumentError(absl::StrCat("CallOptions::priority is ", static_cast<int>(priority_))));
  }
  if (absl::Status checked = CheckDescriptors(method_, options_.descriptors, "CallOptions::descriptors");
      !checked.ok()) {
    return NotSent(std::move(checked));
  }
  if (absl::Status sealed = Attached::Seal(options_.attachments, "CallOptions::attachments"); !sealed.ok()) {
    return NotSent(std::move(sealed));
  }
  if (method_.generic) {
    if (absl::Status named = CheckName(method_.full_name); !named.ok()) return named;
  }
  if (!options_.metadata.empty()) {
    if (absl::Status status = options_.metadata.Validate(); !status.ok()) return NotSent(std::move(status));
    absl::StatusOr<std::string> envelope = wire::EncodeMetadataEnvelope(options_.metadata);
    if (!envelope.ok()) return NotSent(envelope.status());
    envelope_ = *std::move(envelope);
    metadata_size_ = envelope_.size();
  }
  payload_size_ = request == nullptr ? 0 : request->ByteSizeLong();
  if (payload_size_ > max_message_size_) {
    return NotSent(absl::ResourceExhaustedError(
        absl::StrCat("the request of ", method_.full_name, " has ", payload_size_,
                     " B, more than ChannelOptions::max_message_size (", max_message_size_, " B)")));
  }
  if (options_.stop_token.stop_requested()) return NotSent(absl::CancelledError("cancelled before the call was sent"));
  if (deadline_ <= started_) {
    return NotSent(absl::DeadlineExceededError(
        absl::StrCat("the deadline of ", method_.full_name, " had passed before the call was sent")));
  }
  return absl::OkStatus();
}

absl::Status CallHead::FitTo(const session::ClientSession& session) {
  if (!AttachedFit(session)) {
    absl::StatusOr<Attached> attached =
        Attached::To(session.side(), options_.attachments, options_.descriptors, "CallOptions::attachments");
    if (!attached.ok()) return NotSent(attached.status());
    attached_ = *std::move(attached);
  }
  if (session.terms().server_wants_method_names == has_name()) return CheckPeerLimit(session);
  if (has_name()) {
    envelope_.resize(metadata_size_);
  } else {
    if (absl::Status named = CheckName(method_.full_name); !named.ok()) return named;
    const std::string name = wire::EncodeMethodName(method_.full_name);
    if (metadata_size_ + name.size() > base::kMaxEnvelopeSize) {
      return NotSent(absl::ResourceExhaustedError(
          absl::StrCat("metadata and the method's name take ", metadata_size_ + name.size(), " B, at most ",
                       base::kMaxEnvelopeSize, " B are sent to a server that serves methods by their names")));
    }
    envelope_ += name;
  }
  return CheckPeerLimit(session);
}

absl::Status CallHead::CheckPeerLimit(const session::ClientSession& session) const {
  if (absl::Status checked = CheckDescriptors(options_.descriptors.size(), session); !checked.ok()) {
    return NotSent(std::move(checked));
  }
  const size_t size = payload_size_ + attached_.tail_size();
  const SizeLimit limit = SizeLimit::Of(max_message_size_, session);
  if (size <= limit.bytes) return absl::OkStatus();
  return NotSent(absl::ResourceExhaustedError(
      absl::StrCat("the request of ", method_.full_name, " has ", payload_size_, " B",
                   attached_.empty() ? std::string()
                                     : absl::StrCat(" and ", attached_.tail_size(), " B of attachments to be copied"),
                   ", more than ", limit.Text())));
}

void CallHead::Describe(session::ClientCall& call) const {
  call.method_id = method_.id;
  call.lane = static_cast<size_t>(priority_);
  call.started = started_;
  call.deadline = deadline_;
}

wire::FrameHeader CallHead::Header(uint64_t call_id) const {
  wire::FrameHeader header;
  header.kind = wire::FrameKind::kRequest;
  header.flags = static_cast<uint8_t>((internal::ClientStreams(method_.kind) ? 0 : wire::kEnd) |
                                      (internal::ServerStreams(method_.kind) ? wire::kElements : 0) |
                                      (one_way() ? wire::kOneWay : 0) | (envelope_.empty() ? 0 : wire::kEnvelope));
  header.priority = static_cast<uint8_t>(priority_);
  header.call_id = call_id;
  header.method_id = method_.id;
  attached_.Announce(header, options_.descriptors);
  header.envelope_size = static_cast<uint32_t>(envelope_.size());
  if (deadline_ != base::kNever) {
    // A clock is read here only for calls with a deadline. 0 would mean none.
    header.time_left_ns = static_cast<uint64_t>(std::max<int64_t>(1, deadline_ - base::NowNs()));
  }
  return header;
}

void CallHead::Serialize(const google::protobuf::MessageLite* request, std::byte* to) const {
  if (!envelope_.empty()) std::memcpy(to, envelope_.data(), envelope_.size());
  // Prepare() has cached the sizes.
  if (request != nullptr) SerializeCached(*request, {to + envelope_.size(), payload_size_});
  const size_t tail_size = attached_.tail_size();
  if (tail_size != 0) SerializeTail(attached_.tail(), {to + envelope_.size() + payload_size_, tail_size});
}

absl::Status CallHead::StatusOf(const absl::Status& failure, const wire::Message& answer) const {
  absl::Status status = ReadStatus(failure, answer);
  NEARCALL_PROBE3(client_call_end, this, method_.full_name, static_cast<int>(status.code()));
  return status;
}

absl::Status CallHead::ReadStatus(const absl::Status& failure, const wire::Message& answer) const {
  if (!failure.ok()) return failure;
  const wire::FrameHeader& header = answer.header;
  if (header.envelope_size == 0 && header.status == 0) return absl::OkStatus();
  absl::StatusOr<wire::ReplyEnvelope> envelope =
      wire::DecodeReplyEnvelope(static_cast<absl::StatusCode>(header.status), answer.envelope());
  if (!envelope.ok()) return WithExecState(envelope.status(), ExecState::kExecuted);
  if (options_.response_metadata != nullptr) {
    options_.response_metadata->initial = std::move(envelope->initial);
    options_.response_metadata->trailing = std::move(envelope->trailing);
  }
  // The server knows only the number of a method that it does not have.
  if (envelope->status.code() == absl::StatusCode::kUnimplemented && envelope->exec_state == ExecState::kNotStarted) {
    return WithExecState(internal::Unimplemented(method_), ExecState::kNotStarted);
  }
  return envelope->status;
}

absl::Status CallHead::Parse(const wire::Message& answer, google::protobuf::MessageLite& reply) const {
  absl::Status parsed = ReadMessage("the reply of", method_.full_name, method_.generic, answer.payload(), reply);
  if (parsed.ok()) return parsed;
  reply.Clear();
  return WithExecState(std::move(parsed), ExecState::kExecuted);
}

}  // namespace nearcall::rpc
