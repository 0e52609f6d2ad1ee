// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/quota.h"
#include "session/held_bytes.h"
#include "session/outgoing.h"
#include "session/send_queue.h"
#include "transport/side_socket.h"
#include "transport/transport.h"
#include "wire/header.h"

namespace nearcall::session {

// The sending side of one connection: what waits and how it leaves (SendQueue), for many threads.
//
// Thread-safe. Whoever has something to send writes it himself if there is room and nothing waits before it; what has
// to wait is written by whoever calls Pump() next. Never blocks.
class Outbox {
 public:
  // `memory`: who pays for what is kept; may be null. `side`: where descriptors go; null: no message has any.
  Outbox(transport::Transport& transport, uint32_t source_id, base::Allowance* memory = nullptr,
         transport::SideSocket* side = nullptr)
      : memory_(memory), queue_(transport, source_id, side), held_(queue_.held()) {}
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  ~Outbox() { Close(); }

  using Write = SendQueue::Write;

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

  // Sends what fits now. kShown: nothing, but the peer may see now what had been sent.
  using Pumped = SendQueue::Pumped;
  using enum SendQueue::Pumped;
  Pumped Pump();

  // The room to be woken for: enough for any frame; 0: nothing waits that may go.
  size_t RoomWanted();
  // Whether anything waits, and how much: as of a moment ago, for the price of a load.
  bool has_waiting() const { return has_waiting_.load(std::memory_order_relaxed); }
  const HeldBytes& held() const { return held_; }
  // Messages, by lane.
  std::array<size_t, base::kLanes> WaitingByLane();

  // Nothing is sent from now on; senders that wait are poked, what is kept is dropped.
  void Close();

  uint64_t frames_sent();
  // Whether the peer can read so many of them, though this process ends: the transport keeps none of them here.
  bool HasHandedOver(uint64_t frames);

 private:
  Pumped PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void HandOverAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UpdateHasWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  base::Allowance* const memory_;

  std::atomic<bool> has_waiting_{false};  // written under the mutex

  base::Mutex mutex_;
  SendQueue queue_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  const HeldBytes& held_;  // the queue's
};

}  // namespace nearcall::session
