// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace nearcall::wire {

inline constexpr uint8_t kWireVersion = 1;

enum class FrameKind : uint8_t {
  kRequest = 1,    // begins a call: the request, or the opening of a stream
  kReply = 2,      // ends it: status, trailing metadata, the reply if there is one; exactly one for each call
  kMessage = 3,    // one element of a stream, either direction
  kHalfClose = 4,  // whoever began the call sends no further elements
  kCredit = 5,     // stream credit: message_size more bytes may be sent; no payload, a single frame
};
inline constexpr uint8_t kMaxFrameKind = 5;

// Bits of FrameHeader::flags.
enum FrameFlag : uint8_t {
  kFirst = 1 << 0,     // the first frame of its message
  kLast = 1 << 1,      // the last one; a message of one frame has both
  kEnvelope = 1 << 2,  // the message begins with envelope_size bytes of metadata and status details (envelope.proto)
  kOneWay = 1 << 3,    // the reply says that the handler has started, and nothing else
  kElements = 1 << 4,  // the caller takes elements before the reply
  kAborted = 1 << 5,   // with kLast, without kFirst, no payload: the sender gave this message up; forget it
  kEnd = 1 << 6,       // half-close with this message: whoever began the call sends no elements after it
  kPacked = 1 << 7,    // a message of one frame that holds several elements, each behind its size (u32)
};

// A call that the accepting side of the connection began has this bit in its id. Each side numbers its own calls; the
// low bits are a slot, below the number of calls that the other side has granted.
inline constexpr uint64_t kBegunByAcceptor = uint64_t{1} << 63;
inline constexpr unsigned kSlotBits = 16;
constexpr size_t SlotOf(uint64_t call_id) {
  return call_id & ((uint64_t{1} << kSlotBits) - 1);
}

// The header of every frame. Fixed size, little-endian; runtime/PROTOCOL.md describes each field. The frames of one
// message differ in payload_size, sequence, and the flags kFirst, kLast and kAborted; the rest is the same in each of
// them.
//
//     0        1        2        3        4                                 8
//    +--------+--------+--------+--------+--------+--------+--------+--------+
//  0 | version| kind   | flags  |priority| payload_size                      |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
//  8 | sequence                                                              |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
// 16 | call_id                                                               |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
// 24 | method_id                                                             |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
// 32 | source_id                         | status |fd_count|attached| 0      |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
// 40 | time_left_ns                                                          |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
// 48 | message_size                      | envelope_size                     |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
struct FrameHeader {
  uint8_t version = kWireVersion;
  FrameKind kind = FrameKind::kRequest;
  uint8_t flags = 0;
  uint8_t priority = 0;          // lane, 0 to 3
  uint32_t payload_size = 0;     // bytes that follow this header in this frame
  uint64_t sequence = 0;         // per connection, direction and lane; starts at 1
  uint64_t call_id = 0;          // chosen by whoever begins the call, never reused, not 0
  uint64_t method_id = 0;        // destination: MethodId("package.Service/Method"); a reply repeats it
  uint32_t source_id = 0;        // who sends, as agreed in the handshake
  uint8_t status = 0;            // canonical code; replies only
  uint8_t fd_count = 0;          // descriptors that go with this message; their letter, with its first frame
  uint8_t attachment_count = 0;  // memory that goes with this message; their table is its end
  uint8_t reserved = 0;
  uint64_t time_left_ns = 0;   // requests: until the deadline, 0: none
  uint32_t message_size = 0;   // of the whole message, envelope included; the same in each of its frames
  uint32_t envelope_size = 0;  // of the envelope at the message's start; the same in each of its frames

  bool has(FrameFlag flag) const { return (flags & flag) != 0; }
};

inline constexpr size_t kHeaderSize = 56;
static_assert(sizeof(FrameHeader) == kHeaderSize);

// Writes `header` to the first kHeaderSize bytes of `to`.
void EncodeHeader(const FrameHeader& header, std::span<std::byte> to);

// Copies the header at the start of `frame` to `header` and checks all that a header can say about itself: version,
// kind, flags, lane, reserved bytes, call id, status range, sizes against flags, the envelope within the message, and
// fields that must be 0 for this kind. `frame` is a private copy of at least the frame's first kHeaderSize bytes
// (nothing behind them is read), `frame_size` the size of the whole frame.
//
// INTERNAL if it cannot be a header: the text names the field, what came and what was expected; `header` is then not to
// be used. (An out parameter, and no StatusOr: this is on the way of every frame.)
absl::Status DecodeHeader(std::span<const std::byte> frame, size_t frame_size, FrameHeader& header);

}  // namespace nearcall::wire
