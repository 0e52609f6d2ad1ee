// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/queue_reader.h"

#include <mqueue.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/mq/queue.h"

namespace nearcall::transport::mq {

using ReadState = Transport::ReadState;

ReadState QueueReader::Peek(size_t& size) {
  if (fault_.found()) return ReadState::kBroken;
  if (size_ == 0) {
    const ReadState state = Receive();
    if (state != ReadState::kFrame) return state;
  }
  size = size_;
  return ReadState::kFrame;
}

ReadState QueueReader::Receive() {
  // As in QueueWriter::Commit().
  constexpr timespec kPast{};
  unsigned priority = 0;
  char* const to = reinterpret_cast<char*>(buffer_.data());
  const ssize_t received =
      base::Retry([&] { return ::mq_timedreceive(queue_.get(), to, buffer_.size(), &priority, &kPast); });
  if (received < 0) {
    if (errno == EAGAIN || errno == ETIMEDOUT) return ReadState::kEmpty;
    fault_.Report(base::ErrnoStatus("mq: cannot receive a message"));
    return ReadState::kBroken;
  }
  if (received == 0 || priority >= base::kLanes) {
    fault_.Report(absl::StrCat("a message of ", received, " B and priority ", priority, ", expected 1 to ",
                               buffer_.size(), " B and priority 0 to ", base::kLanes - 1));
    return ReadState::kBroken;
  }
  size_ = static_cast<size_t>(received);
  return ReadState::kFrame;
}

void QueueReader::CopyOut(size_t offset, std::span<std::byte> to) const {
  NEARCALL_CHECK(offset <= size_ && to.size() <= size_ - offset);
  std::copy_n(buffer_.begin() + static_cast<ptrdiff_t>(offset), to.size(), to.begin());
}

void QueueReader::Pop() {
  NEARCALL_CHECK(size_ != 0);
  size_ = 0;
}

bool QueueReader::HasFrame() const {
  return size_ != 0 || MessagesIn(queue_).value_or(0) != 0;
}

}  // namespace nearcall::transport::mq
