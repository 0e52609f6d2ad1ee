// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/check.h"
#include "session/outgoing.h"
#include "transport/side_socket.h"
#include "wire/header.h"

namespace nearcall::session {

// Sends the letters with the descriptors of messages. The outbox's lock guards it.
class LetterSender {
 public:
  // `side`: null: no message has any.
  explicit LetterSender(transport::SideSocket* side) : side_(side) {}

  // Before the first frame of `message` is committed, which will have this number: who reads that finds the letter
  // there. False: no room, and the side socket tells when there is.
  bool Send(const Outgoing& message, const wire::FrameHeader& header, uint64_t sequence) {
    NEARCALL_CHECK(side_ != nullptr);
    const transport::Letter letter = {.lane = header.priority,
                                      .count = header.fd_count,
                                      .lost = false,
                                      .sequence = sequence,
                                      .call_id = header.call_id};
    waits_ = !side_->Send(letter, message.descriptors);
    return !waits_;
  }

  // The next message waits for something else.
  void NoteOther() { waits_ = false; }
  // Whether `next` waits for that room.
  bool Delays(const Outgoing& next) const { return waits_ && next.fragmenter.descriptors() != 0 && !next.started; }

 private:
  transport::SideSocket* const side_;
  bool waits_ = false;
};

}  // namespace nearcall::session
