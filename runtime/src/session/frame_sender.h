// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_sanitizer.h"
#include "transport/transport.h"
#include "wire/header.h"
#include "wire/sequence.h"

namespace nearcall::session {

// Puts frames into a transport: numbers and counts them, and knows which of them the peer has been shown. The outbox's
// lock guards it.
class FrameSender {
 public:
  FrameSender(transport::Transport& transport, uint32_t source_id) : transport_(transport), source_id_(source_id) {}

  // The place of a frame; empty: no room.
  std::span<std::byte> Reserve(size_t payload_size, size_t lane) {
    return transport_.Reserve(wire::kHeaderSize + payload_size, static_cast<int>(lane));
  }
  // The number of the next frame of that lane.
  uint64_t NextSequence(size_t lane) const { return sequence_.Peek(static_cast<int>(lane)); }
  // Writes the header, completed, to such a place. What is left of it is for the payload.
  std::span<std::byte> Begin(wire::FrameHeader header, size_t lane, std::span<std::byte> frame) {
    header.source_id = source_id_;
    header.sequence = sequence_.Next(static_cast<int>(lane));
    wire::EncodeHeader(header, frame);
    return frame.subspan(wire::kHeaderSize);
  }
  void Fill(std::span<std::byte> payload, std::span<const std::byte> from) { transport_.Fill(payload, from); }
  void Commit() {
    base::Released(source_id_);
    transport_.Commit();
    ++sent_;
    unannounced_ = true;
  }

  // Shows the peer all that was committed.
  void HandOver();
  // Whether something was committed, and not shown yet.
  bool unannounced() const { return unannounced_; }

  // Whether the transport keeps some of what it was given, until there is room; and gives it on now, if there is.
  bool keeps() const { return !flushed_; }
  bool FlushRest();
  // It is not wanted any more.
  void DropRest() { flushed_ = true; }

  uint64_t sent() const { return sent_; }
  uint64_t handed_over() const { return handed_over_; }

 private:
  transport::Transport& transport_;
  const uint32_t source_id_;
  wire::SequenceCounter sequence_;
  bool unannounced_ = false;
  bool flushed_ = true;
  uint64_t sent_ = 0;
  uint64_t handed_over_ = 0;  // of these
};

}  // namespace nearcall::session
