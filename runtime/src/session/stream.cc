// SPDX-License-Identifier: Apache-2.0
#include "session/stream.h"

#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "wire/header.h"

namespace nearcall::session {

namespace {

absl::Status Violation(const wire::FrameHeader& header, absl::string_view what) {
  return absl::InternalError(absl::StrCat("stream violation, call ", header.call_id, ": ", what));
}

}  // namespace

absl::Status Stream::Take(wire::Message& message) {
  const wire::FrameHeader& header = message.header;
  switch (header.kind) {
    case wire::FrameKind::kCredit:
      if (!credit_.Add(header.message_size)) return Violation(header, "more credit than the window has");
      writing_.Poke();
      return absl::OkStatus();
    case wire::FrameKind::kHalfClose:
      if (!peer_is_caller_) return Violation(header, "a half-close by who did not begin the call");
      if (peer_is_done_) return Violation(header, "a half-close after the last element");
      peer_is_done_ = true;
      break;
    default:
      if (absl::Status taken = TakeElements(message); !taken.ok()) return taken;
  }
  reading_.Poke();
  return absl::OkStatus();
}

absl::Status Stream::TakeElements(wire::Message& message) {
  const wire::FrameHeader& header = message.header;
  const std::span<const std::byte> bytes = std::as_const(message.bytes).bytes();
  if (header.has(wire::kEnd) && !peer_is_caller_) return Violation(header, "an end by who did not begin the call");
  if (header.has(wire::kEnvelope) && (peer_is_caller_ || initial_envelope_.has_value())) {
    return Violation(header, "metadata where none may be");
  }
  if (!initial_envelope_.has_value()) {
    initial_envelope_.emplace(reinterpret_cast<const char*>(bytes.data()), header.envelope_size);
  }
  absl::Status taken;
  if (header.has(wire::kPacked)) {
    taken = TakePacked(bytes.subspan(header.envelope_size));
    if (taken.ok()) arrivals_.Keep(message);
  } else {
    taken = CheckElement(message.payload().size() + message.attachments.total());
    if (taken.ok()) arrivals_.Push(message);
  }
  if (!taken.ok()) return Violation(header, taken.message());
  if (header.has(wire::kEnd)) peer_is_done_ = true;
  return absl::OkStatus();
}

absl::Status Stream::TakePacked(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    uint32_t size = 0;
    if (bytes.size() < sizeof(size)) return absl::InternalError("a packed message ends within a size");
    std::memcpy(&size, bytes.data(), sizeof(size));
    bytes = bytes.subspan(sizeof(size));
    if (size > bytes.size()) return absl::InternalError("a packed message ends within an element");
    if (absl::Status allowed = CheckElement(size); !allowed.ok()) return allowed;
    arrivals_.Push(bytes.first(size));
    bytes = bytes.subspan(size);
  }
  return absl::OkStatus();
}

absl::Status Stream::CheckElement(size_t size) {
  if (peer_is_done_) return absl::InternalError("an element after the last one");
  if (!window_.Accept(size)) return absl::InternalError("an element that began without credit");
  return absl::OkStatus();
}

bool Stream::TakeArrivals(Arrivals& mine) {
  if (arrivals_.empty()) return false;
  std::swap(mine, arrivals_);
  return true;
}

void Stream::Fail(absl::Status why) {
  if (failure_.ok()) failure_ = std::move(why);
  Wake();
}

void Stream::Wake() {
  reading_.Poke();
  writing_.Poke();
}

}  // namespace nearcall::session
