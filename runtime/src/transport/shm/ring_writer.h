// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transport/fault.h"
#include "transport/shm/layout.h"

namespace nearcall::transport::shm {

// Puts records into the ring of this side's region. Its own indices are private: what the shared tail holds is never
// read back. The peer's head is loaded once for each use, and checked.
//
// Used by the writing thread, except where a method says otherwise.
class RingWriter {
 public:
  RingWriter(ControlPage& own, const ControlPage& peer, std::span<std::byte> ring, Fault& fault)
      : own_(own), peer_(peer), ring_(ring), fault_(fault) {}

  // See Transport.
  std::span<std::byte> Reserve(size_t size);
  void Commit();

  // Makes what was committed ordered before whatever the caller loads next with seq_cst, which is the writer's half of
  // "no wake-up is lost". False if nothing was committed since the last time.
  bool Publish();

  // Whether it is worth while to Reserve() `size` now. The sleeper's half for kRoom: the load of the head is seq_cst.
  // Any thread; while another one writes, "true" may be out of date.
  bool HasRoom(size_t size) const;

  // Any thread.
  bool PeerHasReadAll() const;

 private:
  size_t OffsetOf(uint64_t index) const { return index & (ring_.size() - 1); }
  // What must be left unused before a record for `size`, if it is written at `tail`.
  size_t PaddingAt(uint64_t tail, size_t size) const;
  bool Fits(uint64_t tail, uint64_t head, size_t size) const;
  bool RefreshHead();
  void StorePrefix(uint64_t index, uint64_t word);

  ControlPage& own_;
  const ControlPage& peer_;
  const std::span<std::byte> ring_;
  Fault& fault_;

  // Written by the writing thread only; atomic for HasRoom() and PeerHasReadAll().
  std::atomic<uint64_t> tail_{0};
  uint64_t head_ = 0;       // of the peer, as last seen
  uint64_t published_ = 0;  // tail at the last Publish()
  size_t reserved_ = 0;     // frame size of the open reservation, 0: none
};

}  // namespace nearcall::transport::shm
