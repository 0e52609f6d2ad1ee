// SPDX-License-Identifier: Apache-2.0
#include "session/outbox.h"

#include <utility>

namespace nearcall::session {

bool Outbox::TrySend(const wire::FrameHeader& header, size_t payload_size, Write write, HandOver when) {
  base::MutexLock lock(mutex_);
  if (closed_ || !queue_.TryWrite(header, payload_size, write)) return false;
  if (when == HandOver::kNow) HandOverAll();
  return true;
}

// What the transport could not hand over waits as a message does: somebody must flush it.
void Outbox::HandOverAll() {
  queue_.HandOver();
  UpdateHasWaiting();
}

void Outbox::UpdateHasWaiting() {
  has_waiting_.store(!queue_.empty(), std::memory_order_relaxed);
}

bool Outbox::Offer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  if (closed_) return false;
  if (queue_.TrySend(message)) {
    HandOverAll();
    return true;
  }
  queue_.Add(message);
  UpdateHasWaiting();
  PumpLocked();
  return !message.waits;
}

bool Outbox::TryOffer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  if (closed_ || !queue_.TrySend(message)) return false;
  HandOverAll();
  return true;
}

bool Outbox::Waits(const Outgoing& message) {
  base::MutexLock lock(mutex_);
  return message.waits;
}

void Outbox::Leave(Flow& flow) {
  base::MutexLock lock(mutex_);
  SendLanes::Leave(flow);
}

void Outbox::Withdraw(Outgoing& message) {
  base::MutexLock lock(mutex_);
  if (!closed_ && queue_.Withdraw(message)) PumpLocked();
  UpdateHasWaiting();
}

bool Outbox::TryCharge(Outgoing& message, size_t bytes) const {
  const auto amount = base::Amount::Of(0, bytes + base::kKeptMessageCost);
  if (message.charge.TryTake(memory_, amount)) return true;
  // A call has one reply, but any number of elements.
  if (bytes > base::kAlwaysKept || message.fragmenter.kind() == wire::FrameKind::kMessage) return false;
  message.charge.TakeAnyway(memory_, amount);
  return true;
}

void Outbox::Keep(std::unique_ptr<Outgoing> message) {
  base::MutexLock lock(mutex_);
  if (closed_) return;
  message->owned = true;
  queue_.Add(*message.release());
  UpdateHasWaiting();
  PumpLocked();
}

Outbox::Pumped Outbox::Pump() {
  base::MutexLock lock(mutex_);
  return PumpLocked();
}

Outbox::Pumped Outbox::PumpLocked() {
  const Pumped pumped = queue_.Pump();
  if (pumped != SendQueue::kNothing) HandOverAll();
  return pumped;
}

size_t Outbox::RoomWanted() {
  base::MutexLock lock(mutex_);
  return queue_.RoomWanted();
}

void Outbox::Close() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  queue_.Drop();
  UpdateHasWaiting();
}

std::array<size_t, base::kLanes> Outbox::WaitingByLane() {
  base::MutexLock lock(mutex_);
  return queue_.WaitingByLane();
}

uint64_t Outbox::frames_sent() {
  base::MutexLock lock(mutex_);
  return queue_.frames().sent();
}

bool Outbox::HasHandedOver(uint64_t frames) {
  base::MutexLock lock(mutex_);
  return queue_.frames().handed_over() >= frames;
}

}  // namespace nearcall::session
