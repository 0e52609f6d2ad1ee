// SPDX-License-Identifier: Apache-2.0
#include "session/outbox.h"

#include <algorithm>
#include <utility>

#include "base/thread_sanitizer.h"

namespace nearcall::session {

bool Outbox::TrySend(const wire::FrameHeader& header, size_t payload_size, Write write, HandOver when) {
  base::MutexLock lock(mutex_);
  const size_t lane = header.priority;
  if (closed_ || !Overtakes(lane)) return false;
  const std::span<std::byte> frame = transport_.Reserve(wire::kHeaderSize + payload_size, static_cast<int>(lane));
  if (frame.empty()) return false;
  wire::FrameHeader complete = header;
  complete.flags |= wire::kFirst | wire::kLast;
  complete.payload_size = static_cast<uint32_t>(payload_size);
  complete.message_size = complete.payload_size;
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
  transport_.Notify();
  UpdateHasWaiting();
}

void Outbox::UpdateHasWaiting() {
  has_waiting_.store(waiting_ != 0 || !flushed_, std::memory_order_relaxed);
}

// Whether a frame of `lane` may be sent before all that waits.
bool Outbox::Overtakes(size_t lane) const {
  if (waiting_ == 0) return true;
  return std::all_of(lanes_.begin() + static_cast<std::ptrdiff_t>(lane), lanes_.end(),
                     [](const Lane& higher) { return higher.queue.empty(); });
}

// Whether a message of its lane may go on or start now.
bool Outbox::Eligible(const Outgoing& message) const {
  const Outgoing* partial = lanes_[message.lane].partial;
  return message.whole || partial == nullptr || partial == &message;
}

bool Outbox::Offer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  if (closed_) return false;
  if (TryOfferLocked(message)) return true;
  Enqueue({&message, nullptr});
  PumpLocked();
  return !message.waits;
}

bool Outbox::TryOffer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  return !closed_ && TryOfferLocked(message);
}

bool Outbox::TryOfferLocked(Outgoing& message) {
  if (!Overtakes(message.lane) || !Eligible(message) || !SendFrame(message)) return false;
  HandOverAll();
  return true;
}

bool Outbox::Waits(const Outgoing& message) {
  base::MutexLock lock(mutex_);
  return message.waits;
}

void Outbox::Enqueue(Entry entry) {
  Lane& lane = lanes_[entry.message->lane];
  entry.message->waits = true;
  if (entry.owned != nullptr) {
    messages_kept_.fetch_add(1, std::memory_order_relaxed);
  } else {
    bytes_lent_.fetch_add(entry.message->piece.size(), std::memory_order_relaxed);
  }
  lane.queue.push_back(std::move(entry));
  ++waiting_;
  UpdateHasWaiting();
}

Outbox::Entry Outbox::Dequeue(Lane& lane, size_t index) {
  const auto at = lane.queue.begin() + static_cast<std::ptrdiff_t>(index);
  Entry entry = std::move(*at);
  lane.queue.erase(at);
  entry.message->waits = false;
  if (entry.owned != nullptr) {
    messages_kept_.fetch_sub(1, std::memory_order_relaxed);
  } else {
    bytes_lent_.fetch_sub(entry.message->piece.size(), std::memory_order_relaxed);
  }
  --waiting_;
  return entry;
}

void Outbox::Withdraw(Outgoing& message) {
  base::MutexLock lock(mutex_);
  Lane& lane = lanes_[message.lane];
  for (size_t i = 0; i < lane.queue.size(); ++i) {
    if (lane.queue[i].message == &message) {
      Dequeue(lane, i);
      UpdateHasWaiting();
      break;
    }
  }
  if (closed_ || !message.started || message.given_up || message.fragmenter.done()) return;
  // The receiver holds a part of it. The frame that says "forget it" takes the message's place.
  message.given_up = true;
  auto last = std::make_unique<Outgoing>(Outgoing::GiveUp(message));
  lane.partial = last.get();
  Outgoing* raw = last.get();
  Enqueue({raw, std::move(last)});
  PumpLocked();
}

bool Outbox::TryCharge(Outgoing& message, size_t bytes) const {
  const auto amount = base::Amount::Of(0, bytes + base::kKeptMessageCost);
  if (message.charge.TryTake(memory_, amount)) return true;
  if (bytes > base::kAlwaysKept) return false;
  message.charge.TakeAnyway(memory_, amount);
  return true;
}

void Outbox::Keep(std::unique_ptr<Outgoing> message) {
  base::MutexLock lock(mutex_);
  if (closed_) return;
  bytes_kept_ += message->kept.size();
  // A message whose first frames its sender has sent himself goes on in its place.
  if (message->started) lanes_[message->lane].partial = message.get();
  Outgoing* raw = message.get();
  Enqueue({raw, std::move(message)});
  PumpLocked();
}

bool Outbox::Pump() {
  base::MutexLock lock(mutex_);
  PumpLocked();
  return waiting_ == 0 && flushed_;
}

bool Outbox::PumpSome() {
  base::MutexLock lock(mutex_);
  return PumpLocked();
}

// Whether anything was sent.
bool Outbox::PumpLocked() {
  bool sent = unannounced_ || (!flushed_ && transport_.Flush());
  while (waiting_ != 0 && SendNext()) sent = true;
  if (sent) HandOverAll();
  return sent;
}

// One frame of the highest lane that has one. False: no room, or nothing that may go.
bool Outbox::SendNext() {
  for (size_t i = lanes_.size(); i-- > 0;) {
    Lane& lane = lanes_[i];
    for (size_t j = 0; j < lane.queue.size(); ++j) {
      Outgoing& message = *lane.queue[j].message;
      if (!Eligible(message)) continue;
      if (!SendFrame(message)) return false;
      Entry entry = Dequeue(lane, j);
      if (entry.owned == nullptr) {
        if (message.sender != nullptr) message.sender->Poke();
      } else if (!message.given_up && !message.fragmenter.done()) {
        Enqueue(std::move(entry));  // at the end: the lane's other messages have their turn first
      } else {
        bytes_kept_ -= message.kept.size();
      }
      return true;
    }
  }
  return false;
}

bool Outbox::SendFrame(Outgoing& message) {
  size_t offset = 0;
  wire::Fragmenter next = message.fragmenter;
  wire::FrameHeader header = message.given_up ? next.Abort() : next.Next(offset);
  const std::span<std::byte> frame =
      transport_.Reserve(wire::kHeaderSize + header.payload_size, static_cast<int>(message.lane));
  if (frame.empty()) return false;

  Lane& lane = lanes_[message.lane];
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
  message.started = true;
  if (!message.whole) lane.partial = message.given_up || next.done() ? nullptr : &message;
  return true;
}

size_t Outbox::RoomWanted() {
  base::MutexLock lock(mutex_);
  if (!flushed_) return transport_.max_frame_size();
  for (const Lane& lane : lanes_) {
    for (const Entry& entry : lane.queue) {
      if (Eligible(*entry.message)) return transport_.max_frame_size();
    }
  }
  return 0;
}

void Outbox::Close() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  for (Lane& lane : lanes_) {
    while (!lane.queue.empty()) {
      const Entry entry = Dequeue(lane, 0);
      if (entry.owned == nullptr && entry.message->sender != nullptr) entry.message->sender->Poke();
    }
  }
  bytes_kept_ = 0;
  flushed_ = true;
  UpdateHasWaiting();
}

bool Outbox::closed() {
  base::MutexLock lock(mutex_);
  return closed_;
}

uint64_t Outbox::frames_sent() {
  base::MutexLock lock(mutex_);
  return frames_sent_;
}

}  // namespace nearcall::session
