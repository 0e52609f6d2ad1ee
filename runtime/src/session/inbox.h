// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "session/letterbox.h"
#include "transport/transport.h"
#include "wire/attachments.h"
#include "wire/header.h"
#include "wire/reassembler.h"
#include "wire/sequence.h"

namespace nearcall::session {

// The receiving side of one connection: takes frames from the transport, checks what every frame must obey (header,
// source, sequence), and puts messages together. Each byte is copied out of the transport once, straight to where it
// stays.
//
// Used by one thread at a time.
class Inbox {
 public:
  // `memory`: who pays for messages; may be null. `letterbox`: where their descriptors are; null: no message has any.
  Inbox(transport::Transport& transport, uint32_t peer_id, size_t max_message_size, base::Allowance* memory = nullptr,
        Letterbox* letterbox = nullptr, const wire::AttachmentTerms& attachments = {})
      : transport_(transport),
        peer_id_(peer_id),
        letterbox_(letterbox),
        attachments_(attachments),
        reassembler_(max_message_size, memory) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  enum class Event {
    kEmpty,      // nothing there
    kProgress,   // a part of a message
    kMessage,    // `message` is a whole one
    kTooLarge,   // the message that begins with `message.header` is over the limit and will be skipped
    kNoMemory,   // the same for want of memory
    kOverQuota,  // the same because too much is held already
    kAborted,    // the sender has given up the partial message whose header is in `message`
    kBroken,     // the peer broke the protocol, see error(); for good
  };

  // Takes one frame. `message` is reused: its buffer keeps its memory.
  Event Next(wire::Message& message);

  // After one or several Next(): gives the room back to the peer.
  void Release() { transport_.Release(); }

  const absl::Status& error() const { return error_; }
  size_t bytes_held() const { return reassembler_.bytes_held(); }
  uint64_t frames_received() const { return frames_received_; }

 private:
  Event Break(absl::Status error);
  absl::Status CheckFrame(const wire::FrameHeader& header);

  transport::Transport& transport_;
  const uint32_t peer_id_;
  Letterbox* const letterbox_;
  const wire::AttachmentTerms attachments_;
  wire::SequenceChecker sequence_;
  wire::Reassembler reassembler_;
  absl::Status error_;
  uint64_t frames_received_ = 0;
};

}  // namespace nearcall::session
