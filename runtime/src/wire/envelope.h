// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nearcall/exec_state.h"
#include "nearcall/metadata.h"

namespace nearcall::wire {

// The envelope is what a message has beside its payload, and stands before it; FrameHeader::envelope_size says how long
// it is. A message that has nothing to say in it has none: all functions here give and take an empty one for that.
//
// Encoding: RESOURCE_EXHAUSTED if it exceeds kMaxEnvelopeSize or kMaxStatusPayloads (see base/limits.h). Metadata must
// have passed Validate(). Decoding: INTERNAL for what a peer must not send, bad metadata included.

// Of a request (the client's metadata), or a stream's message (initial metadata).
absl::StatusOr<std::string> EncodeMetadataEnvelope(const Metadata& metadata);
absl::StatusOr<Metadata> DecodeMetadataEnvelope(std::span<const std::byte> bytes);

// Of a request whose server asks for it: its method's name, which stands behind its metadata. Decoding: empty if there
// is none; INTERNAL for what cannot be one.
std::string EncodeMethodName(absl::string_view full_name);
absl::StatusOr<std::string> DecodeMethodName(std::span<const std::byte> bytes);

// Whether it can be one: two parts of printable ASCII with a slash between them, and not too long.
bool IsMethodName(absl::string_view full_name);

// What a reply says beside the reply itself. The status code travels in the frame header.
struct ReplyEnvelope {
  Metadata initial = {};
  Metadata trailing = {};
  absl::Status status = {};  // its text is cut to kMaxStatusTextSize
  ExecState exec_state = ExecState::kExecuted;
};

// A state that `reply.status` itself carries is not sent (it is that of another call, which the handler made).
absl::StatusOr<std::string> EncodeReplyEnvelope(const ReplyEnvelope& reply);

// `code`: FrameHeader::status. The decoded status carries the decoded state, too, for nearcall::ExecStateOf.
absl::StatusOr<ReplyEnvelope> DecodeReplyEnvelope(absl::StatusCode code, std::span<const std::byte> bytes);

}  // namespace nearcall::wire
