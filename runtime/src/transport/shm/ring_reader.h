// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "transport/fault.h"
#include "transport/shm/layout.h"
#include "transport/shm/record.h"
#include "transport/transport.h"

namespace nearcall::transport::shm {

// Takes records out of the ring of the peer's region. The peer may write anything there at any time: each word is
// loaded once, checked, and only the checked copy is used.
//
// Used by the reading thread.
class RingReader {
 public:
  RingReader(ControlPage& own, const ControlPage& peer, std::span<const std::byte> ring, Fault& fault)
      : own_(own), peer_(peer), ring_(ring), fault_(fault) {}

  // See Transport.
  Transport::ReadState Peek(size_t& size);
  void CopyOut(size_t offset, std::span<std::byte> to) const;
  void Pop();

  // Gives back what was popped, ordered before whatever the caller loads next with seq_cst, which is the reader's half
  // of "no wake-up is lost" for a writer that waits for room. False if nothing was popped since the last time.
  bool Release();

  // Whether there is something to Peek() at. The sleeper's half for kFrames: the load of the tail is seq_cst. True also
  // if the peer's tail is impossible, which is then reported.
  bool HasFrame();

 private:
  size_t OffsetOf(uint64_t index) const { return index & (ring_.size() - 1); }
  // Only when all that was seen before has been read.
  bool RefreshTail(std::memory_order order);
  // Takes the record at head_ if it can be one: the frame becomes the current one, padding is stepped over.
  bool TakeRecord();
  bool IsFrame(RecordPrefix prefix, size_t to_end) const;
  bool IsPadding(RecordPrefix prefix, size_t to_end) const;

  ControlPage& own_;
  const ControlPage& peer_;
  const std::span<const std::byte> ring_;
  Fault& fault_;

  uint64_t head_ = 0;
  uint64_t tail_ = 0;      // of the peer, as last seen
  uint64_t released_ = 0;  // head as the peer sees it
  size_t size_ = 0;        // of the current frame, at head_; 0: none
};

}  // namespace nearcall::transport::shm
