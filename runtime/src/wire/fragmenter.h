// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "wire/header.h"

namespace nearcall::wire {

// Cuts one message (envelope and payload) into frames:
//
//   for (Fragmenter fragments(header, size, max_frame_size); !fragments.done();) {
//     std::span<std::byte> frame = transport.Reserve(fragments.next_frame_size(), lane);
//     ...                                              // no room: come back later, nothing has changed
//     size_t offset;
//     FrameHeader next = fragments.Next(offset);       // its payload: message[offset, offset + next.payload_size)
//     next.sequence = counter.Next(lane);
//   }
//
// An empty message is one frame; so are half-close and credit, which are a header alone (`message_size` is 0 for them,
// and a credit keeps that of its header). Used by one thread at a time.
class Fragmenter {
 public:
  // `message`: kind, ids, lane, and what else each frame repeats; sizes, sequence and kFirst, kLast, kAborted are not
  // read (envelope_size is). `message_size` includes the envelope. `max_frame_size` is more than kHeaderSize.
  Fragmenter(const FrameHeader& message, size_t message_size, size_t max_frame_size);

  FrameKind kind() const { return header_.kind; }
  size_t descriptors() const { return header_.fd_count; }
  bool done() const { return done_; }

  // The size of the frame that Next() will describe, header included.
  size_t next_frame_size() const { return kHeaderSize + NextPayloadSize(); }

  // The next frame's header, all but its sequence number. `offset`: where in the message its payload begins. Not if
  // done().
  FrameHeader Next(size_t& offset);

  // Whether the receiver knows of the message. If not, giving it up needs no word.
  bool started() const { return offset_ != 0; }

  // The header that tells the receiver that a started message is given up. Not if done(); it is done then.
  FrameHeader Abort();

 private:
  size_t NextPayloadSize() const;

  FrameHeader header_;
  size_t max_payload_size_;
  size_t offset_ = 0;
  bool done_ = false;
};

}  // namespace nearcall::wire
