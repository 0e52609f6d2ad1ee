// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nearcall/export.h"

namespace nearcall {

// Memory that goes with a message and is not copied: an image, a tensor, a block of audio. Allocated, written in place,
// sealed, sent to any number of peers, and read by each of them where it lies. What a message has of these are its
// attachments.
//
//   absl::StatusOr<nearcall::Buffer> frame = nearcall::Buffer::Allocate(width * height * 4);
//   if (!frame.ok()) return frame.status();
//   Render(frame->mutable_bytes());
//   auto reply = store.Put(request, {.attachments = {*frame}});          // CallOptions::attachments
//
//   absl::Status Put(nearcall::ServerContext& context, const Image& image, Receipt& receipt) override {
//     std::span<const std::byte> pixels = context.attachment(0).bytes();
//     latest_ = context.attachment(0);                                    // keeps that memory, and nothing else
//
// How they travel a program need not know: as memory (sealed, memfd_create(2)), if they are large (256 KiB) and both
// sides carry it, else as bytes behind the message, and they count for max_message_size then. Memory goes over shm, mq
// and pipe, and within a process:
//   - from client to server where that grants it (ServerOptions::max_attachment_bytes). It does not by default: a
//     server takes nothing of its clients but bytes unless it says so.
//   - from server to client where the server has it in mind (ServerOptions::passes_attachments, or the above).
// Else, and over sysv, each is copied. To a peer of a version without attachments: FAILED_PRECONDITION.
//
// What is sent again and again, as the frames of a camera, costs less from a BufferPool (nearcall/buffer_pool.h), where
// the receivers trust the sender.
//
// Who has received a buffer may believe what is in it as long as he likes, whoever sent it: nobody can write to it, nor
// take memory from it (fcntl(2), F_SEAL_WRITE and the others), and it is looked at before it is given to the program.
// So it may be parsed in place. What the bytes mean is the peer's word, as always.
//
// A Buffer is a handle: copies are the same memory, which is freed with the last one. What was allocated holds a
// descriptor (RLIMIT_NOFILE) if it is large; what was received does not, unless it is of a pool. At a server what was
// received counts for the client's user (ServerOptions::max_total_bytes), as long as it is kept. A child of fork(2) has
// nothing of it.
//
// Thread-safe once it is sealed; one thread at a time before.
class NEARCALL_EXPORT Buffer {
 public:
  // Of no bytes.
  Buffer() = default;

  // Zeros, `size` of them; at most 2 GiB. RESOURCE_EXHAUSTED: no memory, no descriptor, or RLIMIT_FSIZE is less. The
  // memory is there then: writing to it never ends the program.
  static absl::StatusOr<Buffer> Allocate(size_t size);

  size_t size() const { return bytes().size(); }
  bool empty() const { return size() == 0; }

  // They stay where they are as long as there is a handle, through Seal() too.
  std::span<const std::byte> bytes() const;

  // To be written, until it is sealed; empty afterwards. To write there later all the same is a SIGSEGV if it is large.
  std::span<std::byte> mutable_bytes();

  // From now on nobody can write to it. Sending does this, so it need not be called; a program that wants to know does.
  // FAILED_PRECONDITION: somebody still has it mapped to be written, or the kernel just writes to it (EBUSY). Repeated
  // it does nothing.
  absl::Status Seal();
  bool sealed() const;

  // --- for the runtime ---
  class Memory;
  explicit Buffer(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
  const std::shared_ptr<Memory>& memory() const { return memory_; }

 private:
  std::shared_ptr<Memory> memory_;
};

}  // namespace nearcall
