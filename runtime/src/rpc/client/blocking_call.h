// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"
#include "rpc/client/call_head.h"
#include "session/client_session.h"
#include "session/waiting_call.h"

namespace nearcall::rpc {

// One blocking call, unary or one-way. Lives on the caller's stack.
class BlockingCall {
 public:
  BlockingCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size)
      : request_(method, options, max_message_size) {}

  // All that can be wrong before a connection is needed: see CallHead.
  absl::Status Prepare(const google::protobuf::MessageLite& request) { return request_.Prepare(&request); }

  // The call itself; `reply` is null if it is one-way. May be tried again on another session if it was not sent.
  absl::Status Run(session::ClientSession& session, const google::protobuf::MessageLite& request,
                   google::protobuf::MessageLite* reply);

  base::SteadyNs deadline() const { return request_.deadline(); }

 private:
  CallHead request_;
};

}  // namespace nearcall::rpc
