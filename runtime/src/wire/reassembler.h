// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/quota.h"
#include "wire/attachments.h"
#include "wire/header.h"

namespace nearcall::wire {

// One message as received. Reused from frame to frame: the buffer keeps its memory.
struct Message {
  FrameHeader header;             // of its first frame
  base::Buffer bytes;             // the envelope, then the payload, then the tail of its attachments
  base::Charge charge;            // for all of that, at a server
  base::Descriptors descriptors;  // that came with it: see session/letterbox.h
  Attachments attachments;

  std::span<const std::byte> envelope() const { return bytes.bytes().first(header.envelope_size); }
  std::span<const std::byte> payload() const {
    const std::span<const std::byte> body = bytes.bytes().subspan(header.envelope_size);
    return body.first(body.size() - attachments.tail_size());
  }
  // What is of `attachments` only.
  std::span<const std::byte> tail() const { return bytes.bytes().last(attachments.tail_size()); }

  // Each part once: std::swap() moves all of them three times.
  friend void swap(Message& a, Message& b) noexcept {
    std::swap(a.header, b.header);
    swap(a.bytes, b.bytes);
    std::swap(a.charge, b.charge);
    if (!a.descriptors.empty() || !b.descriptors.empty()) std::swap(a.descriptors, b.descriptors);
    if (!a.attachments.empty() || !b.attachments.empty()) std::swap(a.attachments, b.attachments);
  }
};

// Puts the frames of one direction of a connection together again. Each byte goes straight from the transport to its
// place in the message. A lane holds at most one partial message; whole messages of one frame may stand between its
// fragments.
//
//   absl::StatusOr<Reassembler::Result> result = reassembler.Receive(
//       header, message, [&](std::span<std::byte> to) { transport.CopyOut(kHeaderSize, to); });
//
// Memory: nothing while no message is partial, and a message of one frame allocates nothing once `message` is warm. A
// partial one holds a buffer of its whole size, which the peer's bytes alone touch. Each message is taken of an
// allowance from its first frame on, and takes that charge along. Used by one thread at a time.
class Reassembler {
 public:
  // `max_message_size` bounds a message without its envelope (which kMaxEnvelopeSize bounds). `memory`: who pays for
  // messages; may be null.
  explicit Reassembler(size_t max_message_size, base::Allowance* memory = nullptr)
      : max_message_size_(max_message_size), memory_(memory) {}

  enum class Result : uint8_t {
    kNothing,   // a part of a message that is not complete, or of one that is being dropped
    kMessage,   // `message` is complete
    kTooLarge,  // the header in `message` announces more than the limit: told once, its frames are dropped as they come
    kNoMemory,  // the same for want of memory
    kOverQuota,  // the same because the allowance is used up
    kAborted,    // the sender has given up the partial message whose header is in `message`
  };

  using Copy = absl::FunctionRef<void(std::span<std::byte> to)>;

  // Takes a frame whose header DecodeHeader() has passed; it may be `message.header` itself. Calls `copy` at most once,
  // to copy the frame's whole payload, and not at all if there is none or it is dropped.
  //
  // INTERNAL if the frame cannot stand here: a part without a beginning, a second partial message in a lane, parts that
  // disagree with the first one, too many bytes or too few. The connection is then of no use, and neither is this
  // object.
  absl::StatusOr<Result> Receive(const FrameHeader& header, Message& message, Copy copy);

  // Memory held for partial messages.
  size_t bytes_held() const;

  // Whether this object is consistent with itself. For tests.
  bool CheckInvariants() const;

 private:
  struct Partial {
    bool active = false;
    bool dropped = false;  // over the limit, or no memory
    FrameHeader first = {};
    size_t received = 0;
    base::Buffer bytes = {};
    base::Charge charge = {};
  };

  Result ReceiveWhole(const FrameHeader& header, Message& message, Copy copy);
  absl::StatusOr<Result> ReceiveFirst(const FrameHeader& header, Message& message, Copy copy);
  absl::StatusOr<Result> ReceiveNext(const FrameHeader& header, Message& message, Copy copy);
  bool IsTooLarge(const FrameHeader& header) const;

  size_t max_message_size_;
  base::Allowance* memory_;
  std::array<Partial, base::kLanes> partials_;
};

}  // namespace nearcall::wire
