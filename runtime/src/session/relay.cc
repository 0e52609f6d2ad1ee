// SPDX-License-Identifier: Apache-2.0
#include "session/relay.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/syscall.h"

namespace nearcall::session {

absl::Status Relay::Open() {
  bell_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return bell_.valid() ? absl::OkStatus() : base::ErrnoStatus("cannot serve over a channel (eventfd)");
}

void Relay::Push(Inbox::Event event, wire::Message& message) {
  base::MutexLock lock(mutex_);
  Item& item = items_.emplace_back();
  item.event = event;
  swap(item.message, message);
  if (item.message.header.kind == wire::FrameKind::kRequest) ++requests_;
  RingFor(kFrames);
}

void Relay::TellRoom() {
  base::MutexLock lock(mutex_);
  RingFor(kRoom);
}

void Relay::RingFor(uint32_t interest) {
  if ((interest_ & interest) == 0) return;
  interest_ = 0;
  const uint64_t one = 1;
  // Nobody reads it: a full one (EAGAIN) is readable already.
  [[maybe_unused]] const ssize_t written = ::write(bell_.get(), &one, sizeof(one));
}

size_t Relay::requests() const {
  base::MutexLock lock(mutex_);
  return requests_;
}

size_t Relay::size() const {
  base::MutexLock lock(mutex_);
  return items_.size();
}

Inbox::Event Relay::Take(wire::Message& message) {
  base::MutexLock lock(mutex_);
  if (items_.empty()) return Inbox::Event::kEmpty;
  const Inbox::Event event = items_.front().event;
  swap(message, items_.front().message);
  items_.pop_front();
  if (message.header.kind == wire::FrameKind::kRequest) --requests_;
  return event;
}

transport::Transport::ReadState Relay::Peek(size_t& size) {
  base::MutexLock lock(mutex_);
  if (items_.empty()) return ReadState::kEmpty;
  size = 1;
  return ReadState::kFrame;
}

bool Relay::Arm(uint32_t interest, size_t /*room*/) {
  {
    base::MutexLock lock(mutex_);
    if ((interest & kFrames) != 0 && !items_.empty()) return true;
    interest_ = interest;
  }
  if ((interest & kRoom) == 0) return false;
  want_room_();
  // SUBTLE: after the interest has been said. What goes from now on rings.
  if (outbox_.has_waiting()) return false;
  Disarm();
  return true;
}

void Relay::Disarm() {
  base::MutexLock lock(mutex_);
  interest_ = 0;
}

}  // namespace nearcall::session
