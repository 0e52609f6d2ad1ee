// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "absl/strings/string_view.h"
#include "base/buffer.h"
#include "transport/fault.h"
#include "transport/pipe/framing.h"
#include "transport/transport.h"

namespace nearcall::transport::pipe {

// The reading side of a pipe: takes what is there with one system call into a buffer of its own, where the peer can
// change nothing, and frames out of that buffer without any.
//
// Used by one thread at a time. The descriptor is lent, and so is `fault`, which hears what the peer must not send.
class PipeReader {
 public:
  PipeReader(int fd, Fault& fault) : fd_(fd), fault_(fault) {}

  // Reads only if the buffer holds no whole frame. After a read that emptied the pipe and brought frames, kEmpty (once)
  // is said without reading again, until Release().
  Transport::ReadState Peek(size_t& size);
  void CopyOut(size_t offset, std::span<std::byte> to) const;
  void Pop();
  void Release() { emptied_pipe_ = false; }

  // Whether Peek() has something to say without reading.
  bool HasFrame() { return Parse() != Transport::ReadState::kEmpty; }

 private:
  Transport::ReadState Parse();
  void Read();
  Transport::ReadState Break(absl::string_view what);

  const int fd_;
  Fault& fault_;
  base::Buffer buffer_{kBufferSize};
  size_t begin_ = 0;       // of what has not been popped
  size_t end_ = 0;         // of what has been read
  size_t frame_size_ = 0;  // of the frame at begin_; 0: none that is whole
  bool emptied_pipe_ = false;
};

}  // namespace nearcall::transport::pipe
