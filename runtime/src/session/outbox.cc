// SPDX-License-Identifier: Apache-2.0
#include "session/outbox.h"

#include <utility>

namespace nearcall::session {

bool Outbox::TrySend(const wire::FrameHeader& header, size_t payload_size, Write write, HandOver when) {
  base::MutexLock lock(mutex_);
  const size_t lane = header.priority;
  if (closed_ || !lanes_.Overtakes(lane)) return false;
  const std::span<std::byte> frame = frames_.Reserve(payload_size, lane);
  if (frame.empty()) return false;
  wire::FrameHeader complete = header;
  complete.flags |= wire::kFirst | wire::kLast;
  complete.payload_size = static_cast<uint32_t>(payload_size);
  if (header.kind != wire::FrameKind::kCredit) complete.message_size = complete.payload_size;
  write(frames_.Begin(complete, lane, frame));
  frames_.Commit();
  if (when == HandOver::kNow) HandOverAll();
  return true;
}

// What the transport could not hand over waits as a message does: somebody must flush it.
void Outbox::HandOverAll() {
  frames_.HandOver();
  UpdateHasWaiting();
}

void Outbox::UpdateHasWaiting() {
  has_waiting_.store(!lanes_.empty() || frames_.keeps(), std::memory_order_relaxed);
}

bool Outbox::Offer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  if (closed_) return false;
  if (TryOfferLocked(message)) return true;
  held_.Add(message);
  lanes_.Add(message);
  UpdateHasWaiting();
  PumpLocked();
  return !message.waits;
}

bool Outbox::TryOffer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  return !closed_ && TryOfferLocked(message);
}

bool Outbox::TryOfferLocked(Outgoing& message) {
  if (!lanes_.MayGo(message) || !SendFrame(message)) return false;
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
  if (message.waits) {
    lanes_.Remove(message);
    held_.Remove(message);
  }
  if (!closed_ && message.started && !message.given_up && !message.fragmenter.done()) {
    // The receiver holds a part of it. The frame that says "forget it" takes the message's place.
    lanes_.AddForget(message);
    PumpLocked();
  }
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
  // A message whose first frames its sender has sent himself goes on in its place.
  if (message->started) lanes_.GoOn(*message);
  message->owned = true;
  held_.Add(*message);
  lanes_.Add(*message.release());
  UpdateHasWaiting();
  PumpLocked();
}

Outbox::Pumped Outbox::Pump() {
  base::MutexLock lock(mutex_);
  return PumpLocked();
}

Outbox::Pumped Outbox::PumpLocked() {
  Pumped pumped = frames_.FlushRest() ? kSent : frames_.unannounced() ? kShown : kNothing;
  while (!lanes_.empty() && SendNext()) pumped = kSent;
  if (pumped != kNothing) HandOverAll();
  return pumped;
}

// False: no room, or nothing that may go.
bool Outbox::SendNext() {
  Outgoing* const message = lanes_.Next();
  if (message == nullptr || !SendFrame(*message)) return false;
  if (message->given_up || message->fragmenter.done() || !message->owned) {
    Drop(*message);
  } else {
    lanes_.TakeAnotherTurn(*message);  // the lane's others have theirs first
  }
  return true;
}

// Whoever waits for its frame does so no longer; what is ours ends.
void Outbox::Drop(Outgoing& message) {
  const std::unique_ptr<Outgoing> ours(message.owned ? &message : nullptr);
  lanes_.Remove(message);
  held_.Remove(message);
  if (ours != nullptr) return;
  if (message.given_up) {
    lanes_.DropForget(message);
  } else if (message.sender != nullptr) {
    message.sender->Poke();
  }
}

bool Outbox::SendFrame(Outgoing& message) {
  size_t offset = 0;
  wire::Fragmenter next = message.fragmenter;
  wire::FrameHeader header = message.given_up ? next.Abort() : next.Next(offset);
  const std::span<std::byte> frame = frames_.Reserve(header.payload_size, message.lane);
  if (frame.empty()) {
    letters_.NoteOther();
    return false;
  }
  const bool has_letter = header.fd_count != 0 && !message.started;
  if (has_letter && !letters_.Send(message, header, frames_.NextSequence(message.lane))) return false;

  const std::span<const std::byte> payload =
      message.kept.size() == 0
          ? message.piece.first(header.payload_size)
          : std::as_const(message.kept).bytes().subspan(offset - message.kept_from, header.payload_size);
  frames_.Fill(frames_.Begin(header, message.lane, frame), payload);
  frames_.Commit();
  message.fragmenter = next;
  message.kept_descriptors.reset();
  lanes_.NoteSent(message, next.done());
  return true;
}

size_t Outbox::RoomWanted() {
  base::MutexLock lock(mutex_);
  if (frames_.keeps()) return transport_.max_frame_size();
  const Outgoing* const next = lanes_.Next();
  return next == nullptr || letters_.Delays(*next) ? 0 : transport_.max_frame_size();
}

void Outbox::Close() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  while (Outgoing* const message = lanes_.Last()) Drop(*message);
  frames_.DropRest();
  UpdateHasWaiting();
}

std::array<size_t, base::kLanes> Outbox::WaitingByLane() {
  std::array<size_t, base::kLanes> waiting;
  base::MutexLock lock(mutex_);
  for (size_t lane = 0; lane < base::kLanes; ++lane) waiting[lane] = lanes_.waiting(lane);
  return waiting;
}

uint64_t Outbox::frames_sent() {
  base::MutexLock lock(mutex_);
  return frames_.sent();
}

bool Outbox::HasHandedOver(uint64_t frames) {
  base::MutexLock lock(mutex_);
  return frames_.handed_over() >= frames;
}

}  // namespace nearcall::session
