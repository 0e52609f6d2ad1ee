// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/queue_reader.h"

#include <sys/msg.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/sysv/message.h"

namespace nearcall::transport::sysv {

namespace {

using ReadState = Transport::ReadState;

// All of them, the lowest first: also those that are no lane.
constexpr MessageType kAnyType = -std::numeric_limits<MessageType>::max();

// The end of a peer that removes its queue is told by its control socket long before.
constexpr int64_t kGoneGraceNs = 1'000'000'000;

}  // namespace

QueueReader::QueueReader(QueueId queue, size_t max_frame_size, Bell& bell, Fault& fault)
    : queue_(queue), buffer_(kTypeSize + max_frame_size), bell_(bell), fault_(fault) {}

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
  const size_t max = buffer_.size() - kTypeSize;
  const ssize_t received = base::Retry([&] { return ::msgrcv(queue_, buffer_.data(), max, kAnyType, IPC_NOWAIT); });
  if (received < 0) return Fail(errno);
  MessageType type;
  std::memcpy(&type, buffer_.data(), kTypeSize);
  if (received == 0 || type > kHighestType) {
    fault_.Report(absl::StrCat("a message of ", received, " B and type ", type, ", expected 1 to ", max,
                               " B and type 1 to ", kHighestType));
    return ReadState::kBroken;
  }
  size_ = static_cast<size_t>(received);
  taken_ += size_;
  return ReadState::kFrame;
}

ReadState QueueReader::Fail(int error) {
  if (error == ENOMSG) return ReadState::kEmpty;
  if (IsGone(error)) return OnGone();
  if (error == E2BIG) {
    fault_.Report(absl::StrCat("a larger message than was agreed, expected 1 to ", buffer_.size() - kTypeSize, " B"));
  } else {
    fault_.Report(base::ErrnoStatus(error, "sysv: cannot receive a message"));
  }
  return ReadState::kBroken;
}

ReadState QueueReader::OnGone() {
  const base::SteadyNs now = base::NowNs();
  if (gone_since_ == 0) gone_since_ = now;
  if (now < base::AddNs(gone_since_, kGoneGraceNs)) return ReadState::kEmpty;
  fault_.Report(absl::StrCat("expected queue ", queue_,
                             " until the connection ends, it was removed: by the peer, by ipcrm(1), or when its user "
                             "logged out (RemoveIPC= of logind.conf(5))"));
  return ReadState::kBroken;
}

void QueueReader::CopyOut(size_t offset, std::span<std::byte> to) const {
  NEARCALL_CHECK(offset <= size_ && to.size() <= size_ - offset);
  std::copy_n(buffer_.begin() + static_cast<ptrdiff_t>(kTypeSize + offset), to.size(), to.begin());
}

void QueueReader::Pop() {
  NEARCALL_CHECK(size_ != 0);
  size_ = 0;
}

// SUBTLE: a writer that waits now has added nothing since it found the queue too full. So what was there then is there
// now, or was taken since: if the two together leave room for the largest frame, nobody waits.
void QueueReader::Release() {
  if (taken_ == 0) return;
  const size_t taken = std::exchange(taken_, 0);
  const std::optional<QueueLevel> level = LevelOf(queue_);
  const size_t max = buffer_.size() - kTypeSize;
  if (level && level->bytes + taken + max > level->capacity_bytes) bell_.Take();
}

bool QueueReader::Look() {
  if (size_ != 0) return true;
  bell_.Take();
  const std::optional<QueueLevel> level = LevelOf(queue_);
  return level ? level->messages != 0 : OnGone() == ReadState::kBroken;
}

}  // namespace nearcall::transport::sysv
