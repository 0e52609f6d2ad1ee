// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/limits.h"
#include "rpc/server/dispatch_queue.h"
#include "session/server_session.h"

namespace nearcall::rpc {

// A connection from which an Intake reads, and what it has read of it that waits for its turn.
struct ReadConnection {
  std::shared_ptr<session::ServerSession> session;
  ClientQueue queue;
  bool hot = false;
  uint32_t quiet_turns = 0;
  // Its client has gone, and what that has sent one way is still read and run; at most so many frames.
  bool leaving = false;
  size_t frames_left = base::kMaxFramesLeft;
  bool given_up = false;  // all that has not begun, as this side has hung up

  // It leaves, and that is done; and its suspended handlers have gone on.
  bool has_left() const;
  // Of a user who has used up what may be held for it already, any reply is too much.
  bool leaves_replies_lying() const;
  // `max_queued_bytes`: of its requests.
  bool may_be_read(size_t max_queued_bytes) const;
  // Sends of its replies that wait what fits. Whether anything went.
  bool PumpHeldBack();
};

}  // namespace nearcall::rpc
