// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "google/protobuf/message_lite.h"
#include "rpc/client/call_head.h"
#include "session/client_session.h"
#include "session/waiting_call.h"

namespace nearcall::rpc {

// Sends what begins `call`: the head's envelope, and `request` unless the client streams (null). The caller waits for
// room. False: the call has ended already.
bool SendRequest(const CallHead& head, session::ClientSession& session, session::WaitingCall& call,
                 const google::protobuf::MessageLite* request);

}  // namespace nearcall::rpc
