// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "nearcall/buffer.h"
#include "nearcall/export.h"

namespace nearcall {

// Memory for buffers that is used again: a new frame, in the memory of one that nobody has any more. That saves what is
// dear of a large buffer, which is not the copy: new pages, zeroed, at both ends.
//
//   nearcall::BufferPool pool(size_t{256} << 20);
//   while (absl::StatusOr<nearcall::Buffer> frame = pool.Allocate(kFrameSize); frame.ok()) {
//     Render(frame->mutable_bytes());                                     // of all bytes: they are not zeros
//     frames.Publish(description, {*frame});
//   }
//
// For peers that trust this process: who reads such a buffer has no seal on it, only our word that nobody writes to it
// as long as he has it. So it is passed to a peer that says so of its senders (ServerOptions::trust_sender,
// ChannelOptions::trust_sender). Any other peer gets it as it gets all buffers, sealed: from a copy, which is made
// once. Neither program notices.
//
// When the last handle is gone, here and at each receiver, the memory is used again. A receiver that has died has none
// (it holds a lock of the file, fcntl(2) F_OFD_SETLK, which ends with it); one that keeps a buffer keeps its memory
// from being used again, and nothing else. At a receiver each buffer that it keeps holds a descriptor; memory that came
// over a connection stays mapped, the last 32 blocks of it, and counts for the sender's user.
//
// Thread-safe. It may end before its buffers do.
class NEARCALL_EXPORT BufferPool {
 public:
  // Keeps up to `max_bytes` of memory, in use or not: 2 MiB and more are sensible. What is beyond that is not the
  // pool's: Allocate() never fails because receivers are slow.
  explicit BufferPool(size_t max_bytes);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  // As Buffer::Allocate(), but for what is in it, which is whatever was there last. From memory of the pool if `size`
  // is one that is passed as memory (256 KiB), there is room, and the system has what it takes (/proc); else a new
  // buffer.
  absl::StatusOr<Buffer> Allocate(size_t size);

  // Memory that it keeps, in use or not.
  size_t bytes() const;

 private:
  class Blocks;
  std::shared_ptr<Blocks> blocks_;
};

}  // namespace nearcall
