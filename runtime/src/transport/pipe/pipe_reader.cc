// SPDX-License-Identifier: Apache-2.0
#include "transport/pipe/pipe_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::transport::pipe {

using ReadState = Transport::ReadState;

ReadState PipeReader::Peek(size_t& size) {
  ReadState state = Parse();
  if (state == ReadState::kEmpty && !std::exchange(emptied_pipe_, false)) {
    Read();
    state = Parse();
    if (state == ReadState::kEmpty) emptied_pipe_ = false;
  }
  size = frame_size_;
  return state;
}

// The length is taken out of the buffer when all of the frame is there, and not looked at again.
ReadState PipeReader::Parse() {
  if (fault_.found()) return ReadState::kBroken;
  if (frame_size_ != 0) return ReadState::kFrame;
  const size_t available = end_ - begin_;
  if (available < kLengthSize) return ReadState::kEmpty;
  Length length;
  std::memcpy(&length, buffer_.data() + begin_, kLengthSize);
  if (length == 0 || length > kMaxFrameSize) {
    return Break(absl::StrCat("a frame of ", length, " B, expected 1 to ", kMaxFrameSize));
  }
  if (available < kLengthSize + length) return ReadState::kEmpty;
  frame_size_ = length;
  return ReadState::kFrame;
}

// Once, and not until the pipe is empty: a peer that writes without end does not keep this thread.
void PipeReader::Read() {
  const size_t rest = end_ - begin_;
  if (begin_ != 0) std::memmove(buffer_.data(), buffer_.data() + begin_, rest);
  begin_ = 0;
  end_ = rest;
  const size_t room = kBufferSize - rest;
  const ssize_t taken = base::Retry([&] { return ::read(fd_, buffer_.data() + rest, room); });
  if (taken > 0) {
    end_ += static_cast<size_t>(taken);
    emptied_pipe_ = static_cast<size_t>(taken) < room;
  } else if (taken == 0) {
    Break("an end of file, which the pipe of an honest peer never has");
  } else if (errno != EAGAIN) {
    Break(base::ErrnoStatus("bytes that cannot be read").message());
  }
}

void PipeReader::CopyOut(size_t offset, std::span<std::byte> to) const {
  NEARCALL_CHECK(offset <= frame_size_ && to.size() <= frame_size_ - offset);
  if (!to.empty()) std::memcpy(to.data(), buffer_.data() + begin_ + kLengthSize + offset, to.size());
}

void PipeReader::Pop() {
  NEARCALL_CHECK(frame_size_ != 0);
  begin_ += kLengthSize + std::exchange(frame_size_, 0);
}

ReadState PipeReader::Break(absl::string_view what) {
  fault_.Report(absl::StrCat("it sent ", what));
  return ReadState::kBroken;
}

}  // namespace nearcall::transport::pipe
