// SPDX-License-Identifier: Apache-2.0
#include "session/send_queue.h"

#include <memory>
#include <utility>

namespace nearcall::session {

bool SendQueue::TryWrite(const wire::FrameHeader& header, size_t payload_size, Write write) {
  const size_t lane = header.priority;
  if (!lanes_.Overtakes(lane)) return false;
  const std::span<std::byte> frame = frames_.Reserve(payload_size, lane);
  if (frame.empty()) return false;
  wire::FrameHeader complete = header;
  complete.flags |= wire::kFirst | wire::kLast;
  complete.payload_size = static_cast<uint32_t>(payload_size);
  if (header.kind != wire::FrameKind::kCredit) complete.message_size = complete.payload_size;
  write(frames_.Begin(complete, lane, frame));
  frames_.Commit();
  return true;
}

void SendQueue::Add(Outgoing& message) {
  if (message.owned && message.started) lanes_.GoOn(message);
  held_.Add(message);
  lanes_.Add(message);
}

bool SendQueue::Withdraw(Outgoing& message) {
  if (message.waits) {
    lanes_.Remove(message);
    held_.Remove(message);
  }
  if (!message.started || message.given_up || message.fragmenter.done()) return false;
  // The receiver holds a part of it. The frame that says "forget it" takes the message's place.
  lanes_.AddForget(message);
  return true;
}

SendQueue::Pumped SendQueue::Pump() {
  Pumped pumped = frames_.FlushRest() ? kSent : frames_.unannounced() ? kShown : kNothing;
  while (!lanes_.empty() && SendNext()) pumped = kSent;
  return pumped;
}

// False: no room, or nothing that may go.
bool SendQueue::SendNext() {
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
void SendQueue::Drop(Outgoing& message) {
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

bool SendQueue::SendFrame(Outgoing& message) {
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

void SendQueue::Drop() {
  while (Outgoing* const message = lanes_.Last()) Drop(*message);
  frames_.DropRest();
}

size_t SendQueue::RoomWanted() {
  if (frames_.keeps()) return transport_.max_frame_size();
  const Outgoing* const next = lanes_.Next();
  return next == nullptr || letters_.Delays(*next) ? 0 : transport_.max_frame_size();
}

std::array<size_t, base::kLanes> SendQueue::WaitingByLane() const {
  std::array<size_t, base::kLanes> waiting;
  for (size_t lane = 0; lane < base::kLanes; ++lane) waiting[lane] = lanes_.waiting(lane);
  return waiting;
}

}  // namespace nearcall::session
