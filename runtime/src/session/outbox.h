// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "base/buffer.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/quota.h"
#include "base/waiter.h"
#include "transport/transport.h"
#include "wire/fragmenter.h"
#include "wire/header.h"
#include "wire/sequence.h"

namespace nearcall::session {

// A message on its way out, whole or by pieces. Its bytes come from one of two places: the message owns what is left of
// them (`kept`), or the sender lends the next frame's payload (`piece`), waits until it has been taken, and lends the
// next.
struct Outgoing {
  Outgoing(const wire::FrameHeader& header, size_t message_size, size_t max_frame_size)
      : fragmenter(header, message_size, max_frame_size),
        lane(header.priority),
        whole(wire::kHeaderSize + message_size <= max_frame_size) {}

  // What takes the place of a message that is given up in the middle: one frame that tells the receiver to forget it.
  static Outgoing GiveUp(const Outgoing& message) {
    Outgoing last(message.fragmenter, message.lane);
    last.given_up = last.started = true;
    return last;
  }

  wire::Fragmenter fragmenter;
  const size_t lane;
  const bool whole;   // one frame only
  base::Buffer kept;  // the bytes of the message from kept_from on, or empty
  size_t kept_from = 0;
  base::Charge charge;               // for what is kept
  std::span<const std::byte> piece;  // the payload of the next frame, if nothing is kept
  base::Waiter* sender = nullptr;    // poked when `piece` has been taken

  // Guarded by the outbox.
  bool started = false;   // a frame of it has been sent
  bool waits = false;     // it stands in its lane's queue
  bool given_up = false;  // its next frame, or that of the message which has taken its place, is the one that says so

 private:
  Outgoing(const wire::Fragmenter& rest, size_t message_lane) : fragmenter(rest), lane(message_lane), whole(false) {}
};

// The sending side of one connection: four lanes, one counter of sequence numbers each, and the rule what goes next.
// Before each frame the highest lane that has one waiting is chosen; within it messages take turns frame by frame, but
// only one may be in the middle (a lane carries at most one partial message).
//
// Thread-safe. Whoever has something to send writes it himself if there is room and nothing waits before it; what has
// to wait is written by whoever calls Pump() next. Never blocks.
class Outbox {
 public:
  // `memory`: who pays for what is kept; may be null.
  Outbox(transport::Transport& transport, uint32_t source_id, base::Allowance* memory = nullptr)
      : transport_(transport), source_id_(source_id), memory_(memory) {}
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  using Write = absl::FunctionRef<void(std::span<std::byte> payload)>;

  // Sends a message of one frame, which `write` serialises straight into the transport. False, and nothing done: no
  // room, or others of its lane or a higher one wait. kLater: another one follows at once, which the peer may see
  // together with this one; whatever is sent next, or Pump(), shows both.
  enum class HandOver : bool { kNow, kLater };
  bool TrySend(const wire::FrameHeader& header, size_t payload_size, Write write, HandOver when = HandOver::kNow);

  // Sends the next frame of `message` (its `piece`), or puts it in the queue. True if it was sent; false: it waits, and
  // its sender is poked when it has been sent (Waits() is false then) or the outbox is closed.
  bool Offer(Outgoing& message);
  // Sends it, or does nothing: false.
  bool TryOffer(Outgoing& message);
  bool Waits(const Outgoing& message);

  // The sender gives `message` up: it leaves the queue. If some of it has been sent, the receiver is told to forget it,
  // once.
  void Withdraw(Outgoing& message);

  // Before `message` keeps so many bytes. False: too much is held already. (A few bytes are taken anyway.)
  [[nodiscard]] bool TryCharge(Outgoing& message, size_t bytes) const;
  // Sends what fits and keeps the rest until it fits.
  void Keep(std::unique_ptr<Outgoing> message);

  // Sends what fits now. True if nothing is left.
  bool Pump();
  // The same; true if anything was sent.
  bool PumpSome();

  // The room to be woken for: enough for any frame; 0: nothing waits that may go.
  size_t RoomWanted();
  // Whether anything waits, and all bytes that Keep() holds: as of a moment ago, for the price of a load.
  bool has_waiting() const { return has_waiting_.load(std::memory_order_relaxed); }
  size_t bytes_kept() const { return bytes_kept_.load(std::memory_order_relaxed); }
  // What the messages that Keep() holds cost, even if they are empty.
  size_t cost_kept() const {
    return bytes_kept() + base::kKeptMessageCost * messages_kept_.load(std::memory_order_relaxed);
  }
  // All bytes that wait, those that senders lend included.
  size_t bytes_waiting() const { return bytes_kept() + bytes_lent_.load(std::memory_order_relaxed); }

  // Nothing is sent from now on; senders that wait are poked, what is kept is dropped.
  void Close();
  bool closed();

  uint64_t frames_sent();

 private:
  // A message that waits, and its owner if that is the outbox.
  struct Entry {
    Outgoing* message;
    std::unique_ptr<Outgoing> owned;
  };
  struct Lane {
    std::deque<Entry> queue;            // messages with a frame ready
    const Outgoing* partial = nullptr;  // started and not ended; may or may not be in the queue
  };

  bool Overtakes(size_t lane) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Eligible(const Outgoing& message) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TryOfferLocked(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(Entry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leaves has_waiting() as it is: a message that goes to the end of its queue has never stopped waiting.
  Entry Dequeue(Lane& lane, size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SendNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SendFrame(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CommitFrame() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void HandOverAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UpdateHasWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  transport::Transport& transport_;
  const uint32_t source_id_;
  base::Allowance* const memory_;

  std::atomic<bool> has_waiting_{false};  // written under the mutex
  std::atomic<size_t> bytes_kept_{0};     // likewise
  std::atomic<size_t> messages_kept_{0};  // likewise
  std::atomic<size_t> bytes_lent_{0};     // likewise

  base::Mutex mutex_;
  std::array<Lane, base::kLanes> lanes_ ABSL_GUARDED_BY(mutex_);
  wire::SequenceCounter sequence_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;        // messages in all queues
  bool unannounced_ ABSL_GUARDED_BY(mutex_) = false;  // committed, and not handed over yet
  bool flushed_ ABSL_GUARDED_BY(mutex_) = true;       // the transport has handed over all that was committed
  uint64_t frames_sent_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::session
