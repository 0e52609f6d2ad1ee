// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "base/buffer.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/quota.h"
#include "base/waiter.h"
#include "transport/transport.h"
#include "wire/fragmenter.h"
#include "wire/header.h"
#include "wire/sequence.h"

namespace nearcall::session {

struct Outgoing;

// Whether a message is one frame that is best serialised straight into the transport.
inline bool GoesInPlace(size_t message_size, size_t max_frame_size) {
  return message_size <= base::kInPlaceMax && wire::kHeaderSize + message_size <= max_frame_size;
}

// What orders the messages of one call: those that wait leave one after the other, in the order in which they were
// given to the outbox. (Of different calls they take turns.) Guarded by the outbox, which is told when the flow ends.
class Flow {
 public:
  Flow() = default;
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

 private:
  friend class Outbox;
  Outgoing* last_ = nullptr;  // of those that wait
};

// A message on its way out, whole or by pieces. Its bytes come from one of two places: the message owns what is left of
// them (`kept`), or the sender lends the next frame's payload (`piece`), waits until it has been taken, and lends the
// next.
struct Outgoing : base::ListNode<Outgoing> {
  Outgoing(const wire::FrameHeader& header, size_t message_size, size_t max_frame_size)
      : fragmenter(header, message_size, max_frame_size),
        lane(header.priority),
        whole(wire::kHeaderSize + message_size <= max_frame_size) {}

  // What takes the place of a message that is given up in the middle: one frame that tells the receiver to forget it.
  struct Forget {};
  Outgoing(Forget, const Outgoing& message)
      : fragmenter(message.fragmenter), lane(message.lane), whole(false), started(true), given_up(true) {}

  wire::Fragmenter fragmenter;
  const size_t lane;
  const bool whole;   // one frame only
  base::Buffer kept;  // the bytes of the message from kept_from on, or empty
  size_t kept_from = 0;
  base::Charge charge;               // for what is kept
  std::span<const std::byte> piece;  // the payload of the next frame, if nothing is kept
  base::Waiter* sender = nullptr;    // poked when `piece` has been taken
  Flow* flow = nullptr;              // none: it is in order with no other message

  // Guarded by the outbox.
  bool started = false;   // a frame of it has been sent
  bool waits = false;     // its next frame does
  bool given_up = false;  // its next frame, or that of the message which has taken its place, is the one that says so
  bool owned = false;     // by the outbox, while it waits
  uint64_t turn = 0;      // who waits longest in a lane has the lowest
  Outgoing* ahead = nullptr;  // the message of its flow that waits before it: only the first of a flow has turns
  Outgoing* behind = nullptr;
};

// The sending side of one connection: four lanes, one counter of sequence numbers each, and the rule what goes next.
// Before each frame the highest lane that has one waiting is chosen; within it flows take turns frame by frame, but
// only one message may be in the middle (a lane carries at most one partial message). The choice takes the same time
// however many wait, and needs no memory.
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
  ~Outbox() { Close(); }

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

  // Before `message` keeps so many bytes. False: too much is held already. (A few bytes are taken anyway, but
  // not for elements.)
  [[nodiscard]] bool TryCharge(Outgoing& message, size_t bytes) const;
  // Sends what fits and keeps the rest until it fits.
  void Keep(std::unique_ptr<Outgoing> message);
  // The flow ends; what it keeps goes out all the same, in order.
  void Leave(Flow& flow);

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
  // Whether the peer can read so many of them, though this process ends: the transport keeps none of them here.
  bool HasHandedOver(uint64_t frames);

 private:
  // A flow stands here with the first of its messages. What is partial stands in no list.
  struct Lane {
    base::List<Outgoing> small;      // one frame each
    base::List<Outgoing> large;      // not begun
    Outgoing* partial = nullptr;     // begun and not ended: it may wait, or be in its sender's hands
    std::optional<Outgoing> forget;  // the partial one, once that has been given up
    size_t waiting = 0;              // messages, those behind others of their flow too
  };

  bool Overtakes(size_t lane) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TryOfferLocked(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeTurn(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leaves has_waiting() as it is: a message that goes on has never stopped waiting.
  void Dequeue(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveFlow(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static Outgoing* Next(Lane& lane);
  bool SendNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SendFrame(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(Outgoing& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
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
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;        // messages of all lanes
  uint64_t turns_ ABSL_GUARDED_BY(mutex_) = 0;        // that have been given out
  bool unannounced_ ABSL_GUARDED_BY(mutex_) = false;  // committed, and not handed over yet
  bool flushed_ ABSL_GUARDED_BY(mutex_) = true;       // the transport has handed over all that was committed
  uint64_t frames_sent_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t frames_handed_over_ ABSL_GUARDED_BY(mutex_) = 0;  // of these
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::session
