// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "base/descriptors.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "base/quota.h"
#include "base/waiter.h"
#include "wire/fragmenter.h"
#include "wire/header.h"

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
  friend class SendLanes;
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
  // Until its first frame has been sent. Fewer than its header announces: they are lost.
  std::span<const int> descriptors;
  std::shared_ptr<const base::Descriptors> kept_descriptors;  // the same, if they are not lent

  void Enclose(std::shared_ptr<const base::Descriptors> own) {
    kept_descriptors = std::move(own);
    if (kept_descriptors != nullptr) descriptors = kept_descriptors->fds();
  }

  // Guarded by the outbox, whose SendLanes sets all but `owned`.
  bool started = false;   // a frame of it has been sent
  bool waits = false;     // its next frame does
  bool given_up = false;  // its next frame, or that of the message which has taken its place, is the one that says so
  bool owned = false;     // by the outbox, while it waits
  uint64_t turn = 0;      // who waits longest in a lane has the lowest
  Outgoing* ahead = nullptr;  // the message of its flow that waits before it: only the first of a flow has turns
  Outgoing* behind = nullptr;
};

}  // namespace nearcall::session
