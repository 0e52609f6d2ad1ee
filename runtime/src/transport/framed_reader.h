// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "absl/strings/string_view.h"
#include "base/buffer.h"
#include "transport/fault.h"
#include "transport/framing.h"
#include "transport/transport.h"

namespace nearcall::transport {

// What a stream of bytes may hold beside frames, where a transport lets it.
class Notes {
 public:
  virtual ~Notes() = default;
  // 1 to kMaxNoteSize bytes, on the reading thread. False: the peer must not send that.
  virtual bool Take(std::span<const std::byte> note) = 0;
};

// The reading side of a pipe: takes what is there with one system call into a buffer of its own, where the peer can
// change nothing, and frames out of that buffer without any.
//
// Used by one thread at a time. The descriptor is lent, and so are `fault`, which hears what the peer must not send,
// and `notes`. Without those a note is a fault, and so is an end of file; with them that is only the end.
class FramedReader {
 public:
  FramedReader(int fd, Fault& fault, Notes* notes = nullptr) : fd_(fd), fault_(fault), notes_(notes) {}

  // Reads only if the buffer holds no whole frame. After a read that emptied the pipe and brought frames, kEmpty (once)
  // is said without reading again, until Release().
  Transport::ReadState Peek(size_t& size);
  void CopyOut(size_t offset, std::span<std::byte> to) const;
  void Pop();
  void Release() { emptied_pipe_ = false; }

  // Whether Peek() has something to say without reading.
  bool HasFrame() { return Parse() != Transport::ReadState::kEmpty; }

  // Nobody writes any more, and all was read.
  bool ended() const { return ended_; }

 private:
  Transport::ReadState Parse();
  void Read();
  void OnEnd();
  Transport::ReadState Break(absl::string_view what);

  const int fd_;
  Fault& fault_;
  Notes* const notes_;  // null: there are none
  base::Buffer buffer_{kBufferSize};
  size_t begin_ = 0;       // of what has not been popped
  size_t end_ = 0;         // of what has been read
  size_t frame_size_ = 0;  // of the frame at begin_; 0: none that is whole
  bool emptied_pipe_ = false;
  bool ended_ = false;
};

}  // namespace nearcall::transport
