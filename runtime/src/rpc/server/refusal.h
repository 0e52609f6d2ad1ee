// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "session/inbox.h"

namespace nearcall::rpc {

class IncomingCall;
struct ServerCore;

// Why the handler of a call that has just been read will not start; OK: it may. `event`: as what its request came.
absl::Status WhyRefused(const ServerCore& core, IncomingCall& call, session::Inbox::Event event);

}  // namespace nearcall::rpc
