// SPDX-License-Identifier: Apache-2.0
#include "wire/envelope.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/limits.h"
#include "nearcall/envelope.pb.h"

namespace nearcall::wire {

namespace {

using Entries = google::protobuf::RepeatedPtrField<MetadataEntry>;

// Whatever it holds is on the arena, too: in an arena 64 Ki empty entries, the most that a peer can make us allocate,
// cost well under a millisecond. (Create() puts only the message itself there before protobuf 26, which has no other
// way.)
Envelope& NewEnvelope(google::protobuf::Arena& arena) {
#if GOOGLE_PROTOBUF_VERSION >= 5026000
  return *google::protobuf::Arena::Create<Envelope>(&arena);
#else
  return *google::protobuf::Arena::CreateMessage<Envelope>(&arena);
#endif
}

// --- encoding ---

void Put(const Metadata& metadata, Entries& to) {
  for (const auto& [key, value] : metadata) {
    MetadataEntry& entry = *to.Add();
    entry.set_key(key);
    entry.set_value(value);
  }
}

// At most `size` bytes of `text`, not ending within a character of UTF-8 (which has at most 3 bytes after its first).
absl::string_view Cut(absl::string_view text, size_t size) {
  if (text.size() <= size) return text;
  const auto continues = [&](size_t at) { return (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80; };
  size_t end = size;
  while (end > 0 && size - end < 3 && continues(end)) --end;
  return text.substr(0, end);
}

void Put(const absl::Status& status, Envelope& to) {
  const absl::string_view text = Cut(status.message(), base::kMaxStatusTextSize);
  to.set_status_message(text.data(), text.size());
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& value) {
    if (type_url == base::kExecStateUrl) return;
    StatusPayload& payload = *to.add_status_payloads();
    payload.set_type_url(type_url.data(), type_url.size());
    payload.set_value(std::string(value));
  });
}

enum WireExecState : uint32_t { kWireExecuted = 0, kWireNotStarted = 1, kWireMaybeExecuted = 2 };

WireExecState ToWire(ExecState state) {
  switch (state) {
    case ExecState::kNotSent:  // to the other side the two mean the same: no handler has seen it
    case ExecState::kNotStarted:
      return kWireNotStarted;
    case ExecState::kMaybeExecuted:
      return kWireMaybeExecuted;
    case ExecState::kExecuted:
      return kWireExecuted;
  }
  return kWireMaybeExecuted;
}

absl::StatusOr<std::string> Serialize(const Envelope& envelope) {
  if (static_cast<size_t>(envelope.status_payloads_size()) > base::kMaxStatusPayloads) {
    return absl::ResourceExhaustedError(absl::StrCat("the status has ", envelope.status_payloads_size(),
                                                     " payloads, at most ", base::kMaxStatusPayloads, " are sent"));
  }
  const size_t size = envelope.ByteSizeLong();
  if (size > base::kMaxEnvelopeSize) {
    return absl::ResourceExhaustedError(
        absl::StrCat("metadata and status details take ", size, " B, at most ", base::kMaxEnvelopeSize, " B are sent"));
  }
  return envelope.SerializeAsString();
}

// --- decoding ---

absl::Status Violation(absl::string_view what) {
  return absl::InternalError(absl::StrCat("the peer sent an envelope ", what));
}

absl::Status Parse(std::span<const std::byte> bytes, Envelope& envelope) {
  if (bytes.size() > base::kMaxEnvelopeSize) {
    return Violation(absl::StrCat("of ", bytes.size(), " B, expected at most ", base::kMaxEnvelopeSize, " B"));
  }
  if (!envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return Violation("that does not parse");
  return absl::OkStatus();
}

absl::StatusOr<Metadata> TakeMetadata(const Entries& entries) {
  Metadata metadata;
  for (const MetadataEntry& entry : entries) metadata.Add(entry.key(), entry.value());
  if (absl::Status status = metadata.Validate(); !status.ok()) {
    return Violation(absl::StrCat("that breaks a rule: ", status.message()));
  }
  return metadata;
}

bool SaysMoreThanOk(const Envelope& envelope) {
  return !envelope.status_message().empty() || envelope.status_payloads_size() != 0 ||
         envelope.exec_state() != kWireExecuted;
}

absl::Status CheckReply(absl::StatusCode code, const Envelope& envelope) {
  if (code == absl::StatusCode::kOk && SaysMoreThanOk(envelope))
    return Violation("with details of an error for status OK");
  if (envelope.status_message().size() > base::kMaxStatusTextSize) {
    return Violation(absl::StrCat("with ", envelope.status_message().size(), " B of status text, expected at most ",
                                  base::kMaxStatusTextSize, " B"));
  }
  if (static_cast<size_t>(envelope.status_payloads_size()) > base::kMaxStatusPayloads) {
    return Violation(absl::StrCat("with ", envelope.status_payloads_size(), " status payloads, expected at most ",
                                  base::kMaxStatusPayloads));
  }
  if (envelope.exec_state() > kWireMaybeExecuted) {
    return Violation(absl::StrCat("with exec_state ", envelope.exec_state(), ", expected 0 to 2"));
  }
  return absl::OkStatus();
}

ExecState FromWire(uint32_t state) {
  if (state == kWireExecuted) return ExecState::kExecuted;
  return state == kWireNotStarted ? ExecState::kNotStarted : ExecState::kMaybeExecuted;
}

}  // namespace

absl::StatusOr<std::string> EncodeMetadataEnvelope(const Metadata& metadata) {
  if (metadata.empty()) return std::string();
  google::protobuf::Arena arena;
  Envelope& envelope = NewEnvelope(arena);
  Put(metadata, *envelope.mutable_metadata());
  return Serialize(envelope);
}

absl::StatusOr<Metadata> DecodeMetadataEnvelope(std::span<const std::byte> bytes) {
  if (bytes.empty()) return Metadata();
  google::protobuf::Arena arena;
  Envelope& envelope = NewEnvelope(arena);
  if (absl::Status status = Parse(bytes, envelope); !status.ok()) return status;
  if (envelope.trailing_metadata_size() != 0 || SaysMoreThanOk(envelope)) {
    return Violation("with parts of a reply for a message that is none");
  }
  return TakeMetadata(envelope.metadata());
}

std::string EncodeMethodName(absl::string_view full_name) {
  Envelope envelope;
  envelope.set_method(full_name.data(), full_name.size());
  return envelope.SerializeAsString();
}

absl::StatusOr<std::string> DecodeMethodName(std::span<const std::byte> bytes) {
  if (bytes.empty()) return std::string();
  google::protobuf::Arena arena;
  Envelope& envelope = NewEnvelope(arena);
  if (absl::Status status = Parse(bytes, envelope); !status.ok()) return status;
  if (envelope.method().empty() || IsMethodName(envelope.method())) return envelope.method();
  return Violation(absl::StrCat("with a method's name of ", envelope.method().size(), " B, expected at most ",
                                base::kMaxMethodNameSize, " B of printable ASCII with a slash between two parts"));
}

bool IsMethodName(absl::string_view full_name) {
  const size_t slash = full_name.find('/');
  return full_name.size() <= base::kMaxMethodNameSize && slash != absl::string_view::npos && slash != 0 &&
         slash + 1 != full_name.size() &&
         std::all_of(full_name.begin(), full_name.end(), [](char c) { return c > ' ' && c <= '~'; });
}

absl::StatusOr<std::string> EncodeReplyEnvelope(const ReplyEnvelope& reply) {
  if (reply.initial.empty() && reply.trailing.empty() && reply.status.ok()) return std::string();
  google::protobuf::Arena arena;
  Envelope& envelope = NewEnvelope(arena);
  Put(reply.initial, *envelope.mutable_metadata());
  Put(reply.trailing, *envelope.mutable_trailing_metadata());
  if (!reply.status.ok()) {
    Put(reply.status, envelope);
    envelope.set_exec_state(ToWire(reply.exec_state));
  }
  return Serialize(envelope);
}

absl::StatusOr<ReplyEnvelope> DecodeReplyEnvelope(absl::StatusCode code, std::span<const std::byte> bytes) {
  google::protobuf::Arena arena;
  Envelope& envelope = NewEnvelope(arena);
  if (absl::Status status = Parse(bytes, envelope); !status.ok()) return status;
  if (absl::Status status = CheckReply(code, envelope); !status.ok()) return status;
  absl::StatusOr<Metadata> initial = TakeMetadata(envelope.metadata());
  if (!initial.ok()) return initial.status();
  absl::StatusOr<Metadata> trailing = TakeMetadata(envelope.trailing_metadata());
  if (!trailing.ok()) return trailing.status();
  absl::Status status(code, envelope.status_message());
  for (const StatusPayload& payload : envelope.status_payloads()) {
    status.SetPayload(payload.type_url(), absl::Cord(payload.value()));
  }
  const ExecState exec_state = FromWire(envelope.exec_state());
  return ReplyEnvelope{.initial = *std::move(initial),
                       .trailing = *std::move(trailing),
                       .status = base::WithExecState(std::move(status), exec_state),
                       .exec_state = exec_state};
}

}  // namespace nearcall::wire
