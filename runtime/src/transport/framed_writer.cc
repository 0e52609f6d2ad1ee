// SPDX-License-Identifier: Apache-2.0
#include "transport/framed_writer.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::transport {

std::span<std::byte> FramedWriter::Reserve(size_t size) {
  NEARCALL_CHECK(size > 0 && size <= kMaxFrameSize);
  reserved_ = 0;
  const bool full = !has_room() || kLengthSize + size > kBufferSize - end_;
  if (full && !Flush()) return {};
  const auto length = static_cast<Length>(size);
  std::memcpy(buffer_.data() + end_, &length, kLengthSize);
  reserved_ = kLengthSize + size;
  return buffer_.bytes().subspan(end_ + kLengthSize, size);
}

void FramedWriter::Commit() {
  NEARCALL_CHECK(reserved_ != 0);
  end_ += std::exchange(reserved_, 0);
}

bool FramedWriter::Flush() {
  if (end_ == 0) return true;
  if (fault_.found()) return false;
  const ssize_t taken = base::Retry([&] { return ::write(fd_, buffer_.data() + written_, end_ - written_); });
  if (taken > 0) written_ += static_cast<size_t>(taken);
  if (taken == -1 && errno != EAGAIN) {
    fault_.Report(absl::InternalError(base::ErrnoStatus("pipe: cannot write to the peer").message()));
  }
  const bool all = written_ == end_;
  if (all) written_ = end_ = 0;
  left_over_.store(!all, std::memory_order_relaxed);
  return all;
}

bool FramedWriter::PeerHasReadAll() const {
  int unread = 0;
  return end_ == 0 && ::ioctl(fd_, FIONREAD, &unread) == 0 && unread == 0;
}

}  // namespace nearcall::transport
