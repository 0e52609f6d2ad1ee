// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "session/client_call.h"
#include "session/waiting.h"

namespace nearcall::session {

// A call whose caller waits for it. Lives on the caller's stack.
struct WaitingCall : ClientCall {
  WaitingCall() { waiting = &caller; }

  bool finished() const { return caller.waiter.finished(); }

  Waiting caller;
  bool sent = false;  // all of the request has been handed to the transport
};

}  // namespace nearcall::session
