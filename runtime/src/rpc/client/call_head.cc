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
      started_(base::NowNs()) {
  SetDeadline();
}

void CallHead::SetDeadline() {
  if (options_.timeout.has_value()) {
    deadline_ = base::AddNs(started_, absl::ToInt64Nanoseconds(*options_.timeout));
  } else if (!options_.deadline.has_value() && method_.timeout_ns > 0) {
    deadline_ = base::AddNs(started_, method_.timeout_ns);
  }
  if (options_.deadline.has_value()) {
    const int64_t left = absl::ToInt64Nanoseconds(*options_.deadline - absl::Now());
    deadline_ = std::min(deadline_, base::AddNs(started_, left));
  }
}

absl::Status CallHead::Prepare(const google::protobuf::MessageLite* request) {
  NEARCALL_PROBE2(client_call_start, this, method_.full_name);
  if (options_.response_metadata != nullptr) *options_.response_metadata = {};
  if (options_.reply_descriptors != nullptr) options_.reply_descriptors->clear();
  if (static_cast<size_t>(priority_) >= base::kLanes) {
    return NotSent(absl::InvalidArgumentError(absl::StrCat("CallOptions::priority is ", static_cast<int>(priority_))));
  }
  if (absl::Status checked = CheckDescriptors(method_, options_.descriptors, "CallOptions::descriptors");
      !checked.ok()) {
    return NotSent(std::move(checked));
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

size_t CallHead::SizeFor(const session::ClientSession& session) const {
  return metadata_size_ + payload_size_ +
         (session.terms().server_wants_method_names ? wire::EncodeMethodName(method_.full_name).size() : 0);
}

absl::Status CallHead::FitTo(const session::ClientSession& session) {
  const bool has_name = envelope_.size() != metadata_size_;
  if (session.terms().server_wants_method_names == has_name) return CheckPeerLimit(session);
  if (has_name) {
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
  if (payload_size_ <= session.terms().peer_max_message_size) return absl::OkStatus();
  return NotSent(absl::ResourceExhaustedError(absl::StrCat(
      "the request of ", method_.full_name, " has ", payload_size_,
      " B, more than the server's ServerOptions::max_message_size (", session.terms().peer_max_message_size, " B)")));
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
  header.fd_count = static_cast<uint8_t>(options_.descriptors.size());
  header.envelope_size = static_cast<uint32_t>(envelope_.size());
  if (deadline_ != base::kNever) {
    // A clock is read here only for calls with a deadline. 0 would mean none.
    header.time_left_ns = static_cast<uint64_t>(std::max<int64_t>(1, deadline_ - base::NowNs()));
  }
  return header;
}

wire::FrameHeader CallHead::ElementHeader(uint64_t call_id) const {
  wire::FrameHeader header;
  header.kind = wire::FrameKind::kMessage;
  header.priority = static_cast<uint8_t>(priority_);
  header.call_id = call_id;
  header.method_id = method_.id;
  return header;
}

void CallHead::Serialize(const google::protobuf::MessageLite* request, std::byte* to) const {
  if (!envelope_.empty()) std::memcpy(to, envelope_.data(), envelope_.size());
  // Prepare() has cached the sizes.
  if (request != nullptr) SerializeCached(*request, {to + envelope_.size(), payload_size_});
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
  absl::StatusOr<wire::ReplyEnvelope> envelope = wire::DecodeReplyEnvelope(
      static_cast<absl::StatusCode>(header.status), answer.bytes.bytes().first(header.envelope_size));
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
  const std::span<const std::byte> payload = answer.bytes.bytes().subspan(answer.header.envelope_size);
  absl::Status parsed = ReadMessage("the reply of", method_.full_name, method_.generic, payload, reply);
  if (parsed.ok()) return parsed;
  reply.Clear();
  return WithExecState(std::move(parsed), ExecState::kExecuted);
}

absl::Status CallHead::CheckElement(size_t size, std::span<const int> descriptors,
                                    const session::ClientSession& session) const {
  absl::Status checked = CheckDescriptors(method_, descriptors, "the descriptors of an element");
  checked.Update(CheckDescriptors(descriptors.size(), session));
  if (!checked.ok()) return checked;
  const size_t limit = std::min(max_message_size_, session.terms().peer_max_message_size);
  if (size <= limit) return absl::OkStatus();
  const char* const name = limit == max_message_size_ ? "ChannelOptions" : "the server's ServerOptions";
  return absl::ResourceExhaustedError(absl::StrCat("an element of ", method_.full_name, " has ", size, " B, more than ",
                                                   name, "::max_message_size (", limit, " B)"));
}

absl::Status CallHead::ElementChanged() const {
  return absl::InternalError(absl::StrCat("an element of ", method_.full_name, " changed while it was serialised"));
}

absl::StatusOr<Metadata> CallHead::ParseInitial(const std::string& envelope) {
  if (envelope.empty()) return Metadata();
  absl::StatusOr<Metadata> metadata = wire::DecodeMetadataEnvelope(std::as_bytes(std::span(envelope)));
  if (!metadata.ok()) return WithExecState(metadata.status(), ExecState::kExecuted);
  return metadata;
}

absl::Status CallHead::ParseElement(std::span<const std::byte> bytes, google::protobuf::MessageLite& element) const {
  absl::Status parsed = ReadMessage("an element of", method_.full_name, method_.generic, bytes, element);
  return parsed.ok() ? parsed : WithExecState(std::move(parsed), ExecState::kExecuted);
}

}  // namespace nearcall::rpc
