// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "transport/shm/layout.h"

namespace nearcall::transport::shm {

// How often in a row the peer has rung with nothing to see. One that rings and rings like that is looked at once in a
// while, and not listened to. An honest peer leaves one token too many now and then, never a thousand in a row.
//
// Used by the thread that sleeps.
class VainWakes {
 public:
  explicit VainWakes(const ControlPage& peer) : peer_(peer) {}

  // This end is about to sleep: what the peer changes from now on is a reason to ring.
  void Arm() {
    tail_when_armed_ = Load(peer_.tail, std::memory_order_relaxed);
    head_when_armed_ = Load(peer_.head, std::memory_order_relaxed);
  }
  // A wait has ended; `by_ring`: because of the bell, and of nothing else.
  void NoteWait(bool by_ring) { in_a_row_ = by_ring && !PeerHasMoved() ? in_a_row_ + 1 : 0; }
  // A nap has ended at which nobody had rung. The bell is heard again, but not a thousand times: the peer may have
  // taken its count away just then. Only a wait that was not in vain, or had its time, makes it honest again.
  void NoteQuietNap() { in_a_row_ = kAfterNap; }

  // The peer is not listened to.
  bool too_many() const { return in_a_row_ > kMax; }

 private:
  static constexpr int kMax = 1000;
  static constexpr int kAfterNap = kMax - 10;

  bool PeerHasMoved() const {
    return Load(peer_.tail, std::memory_order_relaxed) != tail_when_armed_ ||
           Load(peer_.head, std::memory_order_relaxed) != head_when_armed_;
  }

  const ControlPage& peer_;
  uint64_t tail_when_armed_ = 0;
  uint64_t head_when_armed_ = 0;
  int in_a_row_ = 0;
};

}  // namespace nearcall::transport::shm
