// SPDX-License-Identifier: Apache-2.0
#include "session/outbox.h"

#include <utility>

#include "base/check.h"
#include "base/probes.h"
#include "base/thread_sanitizer.h"

namespace nearcall::session {

bool Outbox::TrySend(const wire::FrameHeader& header, size_t payload_size, Write write, HandOver when) {
  base::MutexLock lock(mutex_);
  const size_t lane = header.priority;
  if (closed_ || !lanes_.Overtakes(lane)) return false;
  const std::span<std::byte> frame = transport_.Reserve(wire::kHeaderSize + payload_size, static_cast<int>(lane));
  if (frame.empty()) return false;
  wire::FrameHeader complete = header;
  complete.flags |= wire::kFirst | wire::kLast;
  complete.payload_size = static_cast<uint32_t>(payload_size);
  if (header.kind != wire::FrameKind::kCredit) complete.message_size = complete.payload_size;
  complete.source_id = source_id_;
  complete.sequence = sequence_.Next(static_cast<int>(lane));
  wire::EncodeHeader(complete, frame);
  write(frame.subspan(wire::kHeaderSize));
  CommitFrame();
  unannounced_ = true;
  if (when == HandOver::kNow) HandOverAll();
  return true;
}

void Outbox::CommitFrame() {
  base::Released(source_id_);
  transport_.Commit();
  ++frames_sent_;
}

// After CommitFrame(). What the transport could not hand over waits as a message does: somebody must flush it.
void Outbox::HandOverAll() {
  unannounced_ = false;
  flushed_ = transport_.Flush();
  if (flushed_) frames_handed_over_ = frames_sent_;
  if (transport_.Notify()) NEARCALL_PROBE2(wake, source_id_, frames_sent_);
  UpdateHasWaiting();
}

void Outbox::UpdateHasWaiting() {
  has_waiting_.store(!lanes_.empty() || !flushed_, std::memory_order_relaxed);
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
  const bool rest_has_gone = !flushed_ && transport_.Flush();
  if (rest_has_gone) frames_handed_over_ = frames_sent_;
  Pumped pumped = rest_has_gone ? kSent : unannounced_ ? kShown : kNothing;
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

// Before the frame is committed: who reads that finds the letter there.
bool Outbox::SendLetter(const Outgoing& message, const wire::FrameHeader& header) {
  NEARCALL_CHECK(side_ != nullptr);
  const transport::Letter letter = {.lane = header.priority,
                                    .count = header.fd_count,
                                    .lost = false,
                                    .sequence = sequence_.Peek(static_cast<int>(message.lane)),
                                    .call_id = header.call_id};
  letter_waits_ = !side_->Send(letter, message.descriptors);
  return !letter_waits_;
}

bool Outbox::SendFrame(Outgoing& message) {
  size_t offset = 0;
  wire::Fragmenter next = message.fragmenter;
  wire::FrameHeader header = message.given_up ? next.Abort() : next.Next(offset);
  const std::span<std::byte> frame =
      transport_.Reserve(wire::kHeaderSize + header.payload_size, static_cast<int>(message.lane));
  if (frame.empty()) return letter_waits_ = false;
  if (header.fd_count != 0 && !message.started && !SendLetter(message, header)) return false;

  header.source_id = source_id_;
  header.sequence = sequence_.Next(static_cast<int>(message.lane));
  wire::EncodeHeader(header, frame);
  const std::span<const std::byte> payload =
      message.kept.size() == 0
          ? message.piece.first(header.payload_size)
          : std::as_const(message.kept).bytes().subspan(offset - message.kept_from, header.payload_size);
  transport_.Fill(frame.subspan(wire::kHeaderSize), payload);
  CommitFrame();
  message.fragmenter = next;
  message.kept_descriptors.reset();
  lanes_.NoteSent(message, next.done());
  return true;
}

size_t Outbox::RoomWanted() {
  base::MutexLock lock(mutex_);
  if (!flushed_) return transport_.max_frame_size();
  const Outgoing* const next = lanes_.Next();
  if (next == nullptr || (letter_waits_ && next->fragmenter.descriptors() != 0 && !next->started)) return 0;
  return transport_.max_frame_size();
}

void Outbox::Close() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  while (Outgoing* const message = lanes_.Last()) Drop(*message);
  flushed_ = true;
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
  return frames_sent_;
}

bool Outbox::HasHandedOver(uint64_t frames) {
  base::MutexLock lock(mutex_);
  return frames_handed_over_ >= frames;
}

}  // namespace nearcall::session
