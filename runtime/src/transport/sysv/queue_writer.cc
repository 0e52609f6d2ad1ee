// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/queue_writer.h"

#include <sys/msg.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/sysv/message.h"

namespace nearcall::transport::sysv {

QueueWriter::QueueWriter(QueueId queue, size_t max_frame_size, Bell& bell, Fault& fault)
    : queue_(queue), buffer_(kTypeSize + max_frame_size), bell_(bell), fault_(fault) {}

size_t QueueWriter::RoomNow() const {
  const std::optional<QueueLevel> level = LevelOf(queue_);
  return level ? level->capacity_bytes - std::min(level->bytes, level->capacity_bytes) : 0;
}

std::span<std::byte> QueueWriter::Reserve(size_t size, int lane) {
  NEARCALL_CHECK(size > 0 && size <= buffer_.size() - kTypeSize);
  NEARCALL_CHECK(lane >= 0 && lane < base::kLanes);
  reserved_ = 0;
  if (fault_.found()) return {};
  if (room_ < size) room_ = RoomNow();
  if (room_ < size) return {};
  reserved_ = size;
  const MessageType type = TypeOf(lane);
  std::memcpy(buffer_.data(), &type, kTypeSize);
  return std::span(buffer_).subspan(kTypeSize, size);
}

void QueueWriter::Commit() {
  NEARCALL_CHECK(reserved_ != 0);
  const size_t size = std::exchange(reserved_, 0);
  if (base::Retry([&] { return ::msgsnd(queue_, buffer_.data(), size, IPC_NOWAIT); }) != 0) {
    return ReportFailedSend(errno, size);
  }
  room_ -= size;
  ++sent_;
}

void QueueWriter::ReportFailedSend(int error, size_t size) {
  room_ = 0;
  if (IsGone(error)) return;  // and so is the peer, which is told elsewhere
  if (error == EAGAIN) {
    return fault_.Report(
        absl::StrCat("expected room for ", size, " B in the queue that only this side writes, it is full"));
  }
  fault_.Report(base::ErrnoStatus(error, "sysv: cannot send a message"));
}

// SUBTLE: the level is taken after the messages are there. Whoever finds an older one still will look again, for it
// does not sleep before it has seen the queue empty; and until then nobody has to ring.
void QueueWriter::Notify() {
  if (sent_ == 0) return;
  const std::optional<QueueLevel> level = LevelOf(queue_);
  if (!level || level->messages <= sent_) bell_.Ring();
  sent_ = 0;
}

bool QueueWriter::PeerHasReadAll() const {
  const std::optional<QueueLevel> level = LevelOf(queue_);
  return level && level->messages == 0;
}

}  // namespace nearcall::transport::sysv
