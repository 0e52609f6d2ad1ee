// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

#include "base/buffer.h"
#include "transport/fault.h"
#include "transport/framing.h"

namespace nearcall::transport {

// The writing side of a pipe: gathers committed frames in a buffer of its own, and writes what stands there with one
// system call. What the pipe does not take stays, and until it is gone there is no room for more.
//
// Used by one thread at a time; has_room() by any. The descriptor is lent, and so is `fault`, which hears why nothing
// can be written any more: the kernel refuses it, as it may with a pipe of the peer's choice.
class FramedWriter {
 public:
  FramedWriter(int fd, Fault& fault) : fd_(fd), fault_(fault) {}

  std::span<std::byte> Reserve(size_t size);
  void Commit();

  // Writes, once. False: something is left over.
  bool Flush();

  // Whether nothing was left over by the last Flush().
  bool has_room() const { return !left_over_.load(std::memory_order_relaxed); }

  // Whether the pipe ends with the end of a frame.
  bool IsBetweenFrames() const { return written_ == 0; }

  bool PeerHasReadAll() const;

 private:
  const int fd_;
  Fault& fault_;
  base::Buffer buffer_{kBufferSize};
  size_t written_ = 0;   // of what is committed
  size_t end_ = 0;       // of what is committed
  size_t reserved_ = 0;  // with its length
  std::atomic<bool> left_over_{false};
};

}  // namespace nearcall::transport
