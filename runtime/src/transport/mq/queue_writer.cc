// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/queue_writer.h"

#include <mqueue.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/mq/queue.h"

namespace nearcall::transport::mq {

size_t QueueWriter::RoomNow() const {
  const size_t messages = MessagesIn(queue_).value_or(size_.max_messages);
  return size_.max_messages - std::min(messages, size_.max_messages);
}

std::span<std::byte> QueueWriter::Reserve(size_t size, int lane) {
  NEARCALL_CHECK(size > 0 && size <= buffer_.size());
  NEARCALL_CHECK(lane >= 0 && lane < base::kLanes);
  reserved_ = 0;
  if (fault_.found()) return {};
  if (room_ == 0) room_ = RoomNow();
  if (room_ == 0) return {};
  reserved_ = size;
  lane_ = static_cast<unsigned>(lane);
  return std::span(buffer_).first(size);
}

void QueueWriter::Commit() {
  NEARCALL_CHECK(reserved_ != 0);
  // Over since 1970: what would wait returns, even if the peer kept a copy of the descriptor and cleared O_NONBLOCK.
  constexpr timespec kPast{};
  const char* const bytes = reinterpret_cast<const char*>(buffer_.data());
  const size_t size = std::exchange(reserved_, 0);
  if (base::Retry([&] { return ::mq_timedsend(queue_.get(), bytes, size, lane_, &kPast); }) != 0) {
    return ReportFailedSend(errno);
  }
  --room_;
}

void QueueWriter::ReportFailedSend(int error) {
  if (error == EAGAIN || error == ETIMEDOUT) {
    return fault_.Report(
        absl::StrCat("expected room for ", room_, " messages in the queue that only this side writes, it is full"));
  }
  fault_.Report(base::ErrnoStatus(error, "mq: cannot send a message"));
}

bool QueueWriter::HasRoom() const {
  return RoomNow() > 0;
}

bool QueueWriter::PeerHasReadAll() const {
  return MessagesIn(queue_).value_or(0) == 0;
}

}  // namespace nearcall::transport::mq
