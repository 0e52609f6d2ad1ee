// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "nearcall/server_context.h"
#include "rpc/server/call_counts.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "session/server_session.h"
#include "session/stream.h"

namespace nearcall::rpc {

// The stream of a call on the server, as who reads its elements and who writes them see it.
struct ServedStream {
  ServerCore& core;
  const Request& request;
  ServerContext& context;
  CallTally& tally;
  // Guarded by the session's lock.
  session::Stream& state;
  const bool& has_news;  // of the program's own, which nobody has taken yet: who reads waits no longer

  session::ServerSession& session() const { return *request.session; }

  // Always false: the stream cannot go on.
  bool Fail(absl::Status why) const {
    session().calls().Locked([&] { state.Fail(std::move(why)); });
    return false;
  }
};

}  // namespace nearcall::rpc
