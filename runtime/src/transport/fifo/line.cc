// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/line.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/limits.h"
#include "base/syscall.h"
#include "transport/framing.h"

namespace nearcall::transport::fifo {

absl::StatusOr<std::shared_ptr<Line>> Line::Create(Fifos pair) {
  base::Fd watched_incoming = base::Duplicate(pair.incoming.get());
  base::Fd watched_outgoing = base::Duplicate(pair.outgoing.get());
  if (!watched_incoming.valid() || !watched_outgoing.valid()) return base::ErrnoStatus("fifo: duplicate a descriptor");
  return std::shared_ptr<Line>(new Line(std::move(pair), std::move(watched_incoming), std::move(watched_outgoing)));
}

Line::Line(Fifos pair, base::Fd watched_incoming, base::Fd watched_outgoing)
    : pair_(std::move(pair)),
      watched_incoming_(std::move(watched_incoming)),
      watched_outgoing_(std::move(watched_outgoing)),
      writer_(pair_.outgoing.get(), fault_) {}

std::span<std::byte> Line::Reserve(size_t size) {
  base::MutexLock lock(mutex_);
  if (closed_) return {};
  const std::span<std::byte> room = writer_.Reserve(size);
  writer_has_room_.store(writer_.has_room(), std::memory_order_relaxed);
  return room;
}

void Line::Commit() {
  base::MutexLock lock(mutex_);
  writer_.Commit();
}

bool Line::Flush() {
  base::MutexLock lock(mutex_);
  if (closed_) return true;
  const bool all = writer_.Flush();
  writer_has_room_.store(all, std::memory_order_relaxed);
  SendWaitingLocked();
  return all;
}

bool Line::PeerHasReadAll() {
  base::MutexLock lock(mutex_);
  return writer_.PeerHasReadAll();
}

bool Line::Send(const ControlBytes& message) {
  base::MutexLock lock(mutex_);
  if (waiting_.size() == base::kMaxQueuedControlMessages) waiting_.pop_front();
  waiting_.push_back(message);
  return SendWaitingLocked();
}

bool Line::SendWaiting() {
  base::MutexLock lock(mutex_);
  return SendWaitingLocked();
}

// SUBTLE: each is small enough (PIPE_BUF) to be written whole or not at all.
bool Line::SendWaitingLocked() {
  if (closed_) waiting_.clear();
  while (!waiting_.empty() && writer_.IsBetweenFrames()) {
    std::array<std::byte, kLengthSize + kControlMessageSize> note;
    const Length length = kNoteBit | Length{kControlMessageSize};
    std::memcpy(note.data(), &length, kLengthSize);
    std::copy(waiting_.front().begin(), waiting_.front().end(), note.begin() + kLengthSize);
    if (base::Retry([&] { return ::write(outgoing(), note.data(), note.size()); }) == -1 && errno == EAGAIN) break;
    waiting_.pop_front();
  }
  return waiting_.empty();
}

bool Line::SomethingIsUnread() const {
  int unread = 0;
  return ::ioctl(incoming(), FIONREAD, &unread) == 0 && unread != 0;
}

// SUBTLE: another thread may wait for the descriptors, or be about to, so their numbers must not become somebody
// else's. They become further ones of the other FIFO, to which nobody writes: that closes this one.
void Line::HangUp() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  ::dup3(incoming(), outgoing(), O_CLOEXEC);
  ::dup3(incoming(), watched_outgoing(), O_CLOEXEC);
}

void Line::CloseInChild() {
  for (base::Fd* fd : {&pair_.incoming, &pair_.outgoing, &watched_incoming_, &watched_outgoing_}) fd->Reset();
}

void Line::OnPeerGone() {
  base::MutexLock lock(mutex_);
  closed_ = true;
}

}  // namespace nearcall::transport::fifo
