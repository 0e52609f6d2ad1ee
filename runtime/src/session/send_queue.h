// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "base/limits.h"
#include "session/frame_sender.h"
#include "session/held_bytes.h"
#include "session/letter_sender.h"
#include "session/outgoing.h"
#include "session/send_lanes.h"
#include "transport/side_socket.h"
#include "transport/transport.h"
#include "wire/header.h"

namespace nearcall::session {

// What waits to be sent, in its order, and how it leaves: frame by frame, as the transport has room. What is committed
// the peer sees after HandOver().
//
// Part of an Outbox, under its lock.
class SendQueue {
 public:
  using Write = absl::FunctionRef<void(std::span<std::byte> payload)>;

  // As Outbox.
  SendQueue(transport::Transport& transport, uint32_t source_id, transport::SideSocket* side)
      : transport_(transport), frames_(transport, source_id), letters_(side) {}

  // Commits a message of one frame. False: no room, or others go first.
  bool TryWrite(const wire::FrameHeader& header, size_t payload_size, Write write);
  // Commits the next frame of a message that does not wait. False: no room, or others go first.
  bool TrySend(Outgoing& message) { return lanes_.MayGo(message) && SendFrame(message); }

  // It waits from now on. Its first frames may have been sent: it goes on in its place.
  void Add(Outgoing& message);
  // It is given up, and does not wait any more. True: the receiver has some of it, and a frame that tells him to forget
  // it waits now.
  bool Withdraw(Outgoing& message);

  // Commits what fits now. kShown: nothing, but something was committed before and is not handed over.
  enum Pumped : uint8_t { kNothing, kShown, kSent };
  Pumped Pump();
  void HandOver() { frames_.HandOver(); }

  // What waits will not be sent; whose it is, is poked.
  void Drop();

  bool empty() const { return lanes_.empty() && !frames_.keeps(); }
  // See Outbox.
  size_t RoomWanted();
  std::array<size_t, base::kLanes> WaitingByLane() const;
  // Any thread.
  const HeldBytes& held() const { return held_; }
  const FrameSender& frames() const { return frames_; }

 private:
  bool SendNext();
  bool SendFrame(Outgoing& message);
  void Drop(Outgoing& message);

  const transport::Transport& transport_;
  SendLanes lanes_;
  FrameSender frames_;
  LetterSender letters_;
  HeldBytes held_;
};

}  // namespace nearcall::session
