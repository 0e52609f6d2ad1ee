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
                     [](const Lane& higher) { return higher.waiting == 0; });
}

bool Outbox::Offer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  if (closed_) return false;
  if (TryOfferLocked(message)) return true;
  Enqueue(message);
  PumpLocked();
  return !message.waits;
}

bool Outbox::TryOffer(Outgoing& message) {
  base::MutexLock lock(mutex_);
  return !closed_ && TryOfferLocked(message);
}

bool Outbox::TryOfferLocked(Outgoing& message) {
  const Outgoing* partial = lanes_[message.lane].partial;
  const bool may_go = message.whole || partial == nullptr || partial == &message;
  if (!may_go || !Overtakes(message.lane) || !SendFrame(message)) return false;
  HandOverAll();
  return true;
}

bool Outbox::Waits(const Outgoing& message) {
  base::MutexLock lock(mutex_);
  return message.waits;
}

void Outbox::Enqueue(Outgoing& message) {
  message.waits = true;
  if (message.owned) {
    messages_kept_.fetch_add(1, std::memory_order_relaxed);
  } else {
    bytes_lent_.fetch_add(message.piece.size(), std::memory_order_relaxed);
  }
  ++lanes_[message.lane].waiting;
  ++waiting_;
  if (message.flow != nullptr) message.ahead = std::exchange(message.flow->last_, &message);
  if (message.ahead == nullptr) {
    TakeTurn(message);
  } else {
    message.ahead->behind = &message;
  }
  UpdateHasWaiting();
}

// To the end of its lane.
void Outbox::TakeTurn(Outgoing& message) {
  Lane& lane = lanes_[message.lane];
  message.turn = ++turns_;
  if (&message != lane.partial) (message.whole ? lane.small : lane.large).PushBack(message);
}

void Outbox::Dequeue(Outgoing& message) {
  message.Unlink();
  message.waits = false;
  if (message.owned) {
    messages_kept_.fetch_sub(1, std::memory_order_relaxed);
  } else {
    bytes_lent_.fetch_sub(message.piece.size(), std::memory_order_relaxed);
  }
  --lanes_[message.lane].waiting;
  --waiting_;
  LeaveFlow(message);
}

void Outbox::LeaveFlow(Outgoing& message) {
  Outgoing* const ahead = std::exchange(message.ahead, nullptr);
  Outgoing* const behind = std::exchange(message.behind, nullptr);
  if (ahead != nullptr) ahead->behind = behind;
  if (behind != nullptr) {
    behind->ahead = ahead;
    if (ahead == nullptr) TakeTurn(*behind);
  } else if (message.flow != nullptr) {
    message.flow->last_ = ahead;
  }
}

void Outbox::Leave(Flow& flow) {
  base::MutexLock lock(mutex_);
  for (Outgoing* message = flow.last_; message != nullptr; message = message->ahead) message->flow = nullptr;
  flow.last_ = nullptr;
}

void Outbox::Withdraw(Outgoing& message) {
  base::MutexLock lock(mutex_);
  if (message.waits) Dequeue(message);
  if (!closed_ && message.started && !message.given_up && !message.fragmenter.done()) {
    // The receiver holds a part of it. The frame that says "forget it" takes the message's place.
    message.given_up = true;
    Lane& lane = lanes_[message.lane];
    lane.partial = &lane.forget.emplace(Outgoing::Forget(), message);
    Enqueue(*lane.partial);
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
  bytes_kept_ += message->kept.size();
  // A message whose first frames its sender has sent himself goes on in its place.
  if (message->started) lanes_[message->lane].partial = message.get();
  message->owned = true;
  Enqueue(*message.release());
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
  const bool rest_has_gone = !flushed_ && transport_.Flush();
  if (rest_has_gone) frames_handed_over_ = frames_sent_;
  bool sent = unannounced_ || rest_has_gone;
  while (waiting_ != 0 && SendNext()) sent = true;
  if (sent) HandOverAll();
  return sent;
}

// Whose frame is the lane's next: of those that may go, who waits longest. nullptr: nobody may.
Outgoing* Outbox::Next(Lane& lane) {
  Outgoing* const small = lane.small.front();
  Outgoing* large = lane.partial;
  if (large == nullptr) {
    large = lane.large.front();
  } else if (!large->waits) {
    large = nullptr;
  }
  if (small == nullptr || large == nullptr) return small == nullptr ? large : small;
  return small->turn < large->turn ? small : large;
}

// One frame of the highest lane that has one. False: no room, or nothing that may go.
bool Outbox::SendNext() {
  for (size_t i = lanes_.size(); i-- > 0;) {
    Outgoing* const message = Next(lanes_[i]);
    if (message == nullptr) continue;
    if (!SendFrame(*message)) return false;
    if (message->given_up || message->fragmenter.done() || !message->owned) {
      Drop(*message);
    } else {
      message->Unlink();
      TakeTurn(*message);  // the lane's others have theirs first
    }
    return true;
  }
  return false;
}

// Whoever waits for its frame does so no longer; what is ours ends.
void Outbox::Drop(Outgoing& message) {
  const std::unique_ptr<Outgoing> ours(message.owned ? &message : nullptr);
  Dequeue(message);
  if (ours != nullptr) {
    bytes_kept_ -= message.kept.size();
  } else if (message.given_up) {
    lanes_[message.lane].forget.reset();
  } else if (message.sender != nullptr) {
    message.sender->Poke();
  }
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
  return std::any_of(lanes_.begin(), lanes_.end(), [](Lane& lane) { return Next(lane) != nullptr; })
             ? transport_.max_frame_size()
             : 0;
}

void Outbox::Close() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  for (Lane& lane : lanes_) {
    while (lane.waiting != 0) {
      Outgoing* const listed = lane.small.empty() ? lane.large.front() : lane.small.front();
      Drop(listed != nullptr ? *listed : *lane.partial);
    }
    lane.partial = nullptr;
  }
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

bool Outbox::HasHandedOver(uint64_t frames) {
  base::MutexLock lock(mutex_);
  return frames_handed_over_ >= frames;
}

}  // namespace nearcall::session
