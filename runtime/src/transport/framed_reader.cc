// SPDX-License-Identifier: Apache-2.0
#include "transport/framed_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::transport {

using ReadState = Transport::ReadState;

ReadState FramedReader::Peek(size_t& size) {
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
ReadState FramedReader::Parse() {
  if (fault_.found()) return ReadState::kBroken;
  if (frame_size_ != 0) return ReadState::kFrame;
  for (;;) {
    const size_t available = end_ - begin_;
    if (available < kLengthSize) return ReadState::kEmpty;
    Length length;
    std::memcpy(&length, buffer_.data() + begin_, kLengthSize);
    const bool is_note = notes_ != nullptr && (length & kNoteBit) != 0;
    if (is_note) length -= kNoteBit;
    const size_t largest = is_note ? kMaxNoteSize : kMaxFrameSize;
    if (length == 0 || length > largest) {
      return Break(absl::StrCat(is_note ? "a note of " : "a frame of ", length, " B, expected 1 to ", largest));
    }
    if (available < kLengthSize + length) return ReadState::kEmpty;
    if (!is_note) {
      frame_size_ = length;
      return ReadState::kFrame;
    }
    if (!notes_->Take(buffer_.bytes().subspan(begin_ + kLengthSize, length))) {
      return Break("a note that is none of the expected ones");
    }
    begin_ += kLengthSize + length;
  }
}

// Once, and not until the pipe is empty: a peer that writes without end does not keep this thread.
void FramedReader::Read() {
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
    OnEnd();
  } else if (errno != EAGAIN) {
    Break(base::ErrnoStatus("bytes that cannot be read").message());
  }
}

void FramedReader::OnEnd() {
  ended_ = true;
  if (notes_ == nullptr) Break("an end of file, which the pipe of an honest peer never has");
}

void FramedReader::CopyOut(size_t offset, std::span<std::byte> to) const {
  NEARCALL_CHECK(offset <= frame_size_ && to.size() <= frame_size_ - offset);
  if (!to.empty()) std::memcpy(to.data(), buffer_.data() + begin_ + kLengthSize + offset, to.size());
}

void FramedReader::Pop() {
  NEARCALL_CHECK(frame_size_ != 0);
  begin_ += kLengthSize + std::exchange(frame_size_, 0);
}

ReadState FramedReader::Break(absl::string_view what) {
  fault_.Report(absl::StrCat("it sent ", what));
  return ReadState::kBroken;
}

}  // namespace nearcall::transport
