// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/sysv_transport.h"

#include <utility>

#include "base/check.h"
#include "transport/sysv/process.h"

namespace nearcall::transport::sysv {

namespace {

// In a row. Even one means that the peer took the byte in the moment between two system calls.
constexpr int kMaxVainRings = 1000;

}  // namespace

SysvTransport::SysvTransport(SysvEnd end)
    : end_(std::move(end)),
      writer_(end_.outgoing, end_.max_frame_size, end_.outgoing_bell, fault_),
      reader_(end_.incoming, end_.max_frame_size, end_.incoming_bell, fault_) {}

SysvTransport::~SysvTransport() {
  if (fork_guard_.InChild()) return;
  RemoveQueue(end_.incoming);
  if (MayBeRead(end_.outgoing)) return;
  RemoveQueue(end_.outgoing);
  if (end_.journal) end_.journal->Remove();
}

// Whether somebody may take what is in it.
bool SysvTransport::MayBeRead(QueueId outgoing) const {
  const std::optional<QueueLevel> left = LevelOf(outgoing);
  if (!left || left->messages == 0) return false;
  return !peer_is_gone_.load(std::memory_order_relaxed) && !IsDead(end_.peer);
}

bool SysvTransport::Arm(uint32_t interest, size_t room) {
  interest_ = interest;
  if (fault_.found()) return true;
  if ((interest & kFrames) != 0 && reader_.Look()) return true;
  return (interest & kRoom) != 0 && !WaitsForRoom(room);
}

// SUBTLE: the bell is rung, so that it is not writable, before the queue is looked at: room that is made after the look
// makes the bell writable again.
bool SysvTransport::WaitsForRoom(size_t room) {
  end_.outgoing_bell.Ring();
  const bool has_room = writer_.HasRoomFor(room);
  if (has_room || !end_.outgoing_bell.IsWritable()) {
    vain_rings_ = 0;
    return !has_room;
  }
  // The peer has just taken the byte, or a pipe of more than one page is writable whatever is in it.
  if (++vain_rings_ == kMaxVainRings) fault_.Report("a bell that cannot be shut, expected a pipe of one page");
  return false;
}

void SysvTransport::Wait(base::SteadyNs until) {
  NEARCALL_CHECK(end_.sleeper != nullptr);
  end_.sleeper->Wait(event_fds(), interest_, until);
}

void SysvTransport::Interrupt() {
  if (end_.sleeper != nullptr) end_.sleeper->Interrupt();
}

}  // namespace nearcall::transport::sysv
