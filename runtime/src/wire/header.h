// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace nearcall::wire {

inline constexpr uint8_t kWireVersion = 1;

enum class FrameKind : uint8_t {
  kRequest = 1,    // client to server; the request of a unary call, or the opening of a stream
  kReply = 2,      // server to client; ends the call: status, trailing metadata, the reply if there is one
  kMessage = 3,    // one element of a stream, either direction
  kHalfClose = 4,  // the client sends no further elements
  kCredit = 5,     // stream credit: message_size more bytes may be sent; no payload, a single frame
};
inline constexpr uint8_t kMaxFrameKind = 5;

// Bits of FrameHeader::flags.
enum FrameFlag : uint8_t {
  kFirst = 1 << 0,      // the first frame of its message
  kLast = 1 << 1,       // the last one; a message of one frame has both
  kEnvelope = 1 << 2,   // the message begins with envelope_size bytes of metadata and status details (envelope.proto)
  kOneWay = 1 << 3,     // no reply is wanted
  kDoNotWait = 1 << 4,  // no room at the receiver: refuse at once (RESOURCE_EXHAUSTED) instead of letting it wait
  kAborted = 1 << 5,    // with kLast, without kFirst, no payload: the sender gave this message up; forget it
};
inline constexpr uint8_t kAllFrameFlags = 0x3f;

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
// 32 | source_id                         | status | 0 (3 bytes)              |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
// 40 | time_left_ns                                                          |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
// 48 | message_size                      | envelope_size                     |
//    +--------+--------+--------+--------+--------+--------+--------+--------+
struct FrameHeader {
  uint8_t version = kWireVersion;
  FrameKind kind = FrameKind::kRequest;
  uint8_t flags = 0;
  uint8_t priority = 0;        // lane, 0 to 3
  uint32_t payload_size = 0;   // bytes that follow this header in this frame
  uint64_t sequence = 0;       // per connection, direction and lane; starts at 1
  uint64_t call_id = 0;        // chosen by the client, never reused, not 0
  uint64_t method_id = 0;      // destination: MethodId("package.Service/Method"); a reply repeats it
  uint32_t source_id = 0;      // who sends, as agreed in the handshake
  uint8_t status = 0;          // canonical code; replies only
  uint8_t reserved[3] = {};    // 0
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
