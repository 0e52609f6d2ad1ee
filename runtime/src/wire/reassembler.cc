// SPDX-License-Identifier: Apache-2.0
#include "wire/reassembler.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace nearcall::wire {

namespace {

// The header without what differs from one frame of a message to the next.
FrameHeader CommonPart(FrameHeader header) {
  header.flags &= static_cast<uint8_t>(~(kFirst | kLast | kAborted));
  header.payload_size = 0;
  header.sequence = 0;
  return header;
}

// FrameHeader has no padding (pinned in header.cc), so its bytes are its value.
bool IsSameMessage(const FrameHeader& a, const FrameHeader& b) {
  const FrameHeader left = CommonPart(a);
  const FrameHeader right = CommonPart(b);
  return std::memcmp(&left, &right, sizeof(FrameHeader)) == 0;
}

[[gnu::cold, gnu::noinline]] absl::Status Violation(const FrameHeader& header, absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("fragment violation in lane ", header.priority, ", call ", header.call_id, ": ", what));
}

[[gnu::cold, gnu::noinline]] absl::Status Disagreement(const FrameHeader& header, const FrameHeader& first) {
  return Violation(header, absl::StrCat("a frame of a message of ", header.message_size,
                                        " B came inside another message, or differs from its first frame (call ",
                                        first.call_id, ", ", first.message_size, " B)"));
}

// Whether `header` is the next frame of a message of which `received` bytes have come.
absl::Status CheckNext(const FrameHeader& header, const FrameHeader& first, size_t received) {
  if (!IsSameMessage(header, first)) return Disagreement(header, first);
  if (header.has(kAborted)) return absl::OkStatus();
  const size_t missing = first.message_size - received;
  if (header.payload_size > missing || header.has(kLast) != (header.payload_size == missing)) {
    return Violation(header, absl::StrCat(header.has(kLast) ? "the last frame brings " : "a frame brings ",
                                          header.payload_size, " B where ", missing, " B are missing"));
  }
  return absl::OkStatus();
}

base::Amount Cost(size_t size) {
  return base::Amount::Of(1, size + base::kCallCost);
}

}  // namespace

absl::StatusOr<Reassembler::Result> Reassembler::Receive(const FrameHeader& header, Message& message, Copy copy) {
  message.charge.Release();
  if (!header.has(kFirst)) return ReceiveNext(header, message, copy);
  if (!header.has(kLast)) return ReceiveFirst(header, message, copy);
  return ReceiveWhole(header, message, copy);
}

Reassembler::Result Reassembler::ReceiveWhole(const FrameHeader& header, Message& message, Copy copy) {
  message.header = header;
  // Half-close and credit, too, are whole; what they say in message_size needs no memory, and nobody pays for it.
  if (header.kind >= FrameKind::kHalfClose) return Result::kMessage;
  if (header.payload_size != 0 && IsTooLarge(header)) return Result::kTooLarge;
  if (!message.charge.TryTake(memory_, Cost(header.payload_size))) return Result::kOverQuota;
  if (!message.bytes.TryResize(header.payload_size)) return Result::kNoMemory;
  if (header.payload_size != 0) copy(message.bytes.bytes());
  return Result::kMessage;
}

absl::StatusOr<Reassembler::Result> Reassembler::ReceiveFirst(const FrameHeader& header, Message& message, Copy copy) {
  Partial& partial = partials_[header.priority];
  if (partial.active) return Violation(header, "a message begins before the lane's last one has ended");
  partial.active = true;
  partial.first = message.header = header;
  partial.received = header.payload_size;
  partial.dropped = true;
  if (IsTooLarge(header)) return Result::kTooLarge;
  if (!partial.charge.TryTake(memory_, Cost(header.message_size))) return Result::kOverQuota;
  // The caller's memory, if it is large enough, is warm from the message before: fresh memory of a mebibyte costs as
  // much in page faults as the copy does.
  if (message.bytes.capacity() >= header.message_size) partial.bytes = std::move(message.bytes);
  if (!partial.bytes.TryResize(header.message_size)) {
    partial.charge.Release();
    return Result::kNoMemory;
  }
  partial.dropped = false;
  copy(partial.bytes.bytes().first(header.payload_size));
  return Result::kNothing;
}

absl::StatusOr<Reassembler::Result> Reassembler::ReceiveNext(const FrameHeader& header, Message& message, Copy copy) {
  Partial& partial = partials_[header.priority];
  if (!partial.active) return Violation(header, "a message goes on that has not begun");
  if (absl::Status status = CheckNext(header, partial.first, partial.received); !status.ok()) return status;
  if (!partial.dropped && header.payload_size != 0) {
    copy(partial.bytes.bytes().subspan(partial.received, header.payload_size));
  }
  partial.received += header.payload_size;
  if (!header.has(kLast)) return Result::kNothing;

  Partial ended = std::exchange(partial, {});
  if (ended.dropped) return Result::kNothing;
  const bool aborted = header.has(kAborted);  // `header` may be message.header
  message.header = ended.first;
  if (aborted) return Result::kAborted;
  message.bytes = std::move(ended.bytes);
  message.charge = std::move(ended.charge);
  return Result::kMessage;
}

bool Reassembler::IsTooLarge(const FrameHeader& header) const {
  return header.message_size - header.envelope_size > max_message_size_;
}

size_t Reassembler::bytes_held() const {
  size_t bytes = 0;
  for (const Partial& partial : partials_) bytes += partial.bytes.capacity();
  return bytes;
}

bool Reassembler::CheckInvariants() const {
  for (const Partial& partial : partials_) {
    const bool holds = partial.active && !partial.dropped;
    if (holds != (partial.bytes.capacity() != 0)) return false;
    if (partial.active && (partial.received == 0 || partial.received >= partial.first.message_size)) return false;
    if (holds && (partial.bytes.size() != partial.first.message_size || IsTooLarge(partial.first))) return false;
  }
  return true;
}

}  // namespace nearcall::wire
