// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "nearcall/exec_state.h"
#include "nearcall/service.h"
#include "rpc/server/answer.h"
#include "rpc/server/call_context.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "session/active_call.h"

namespace nearcall::rpc {

// What of a call is the user's code: whether the client may call, and the handler. Part of the call; used by the thread
// that runs it, but for what is said otherwise.
class HandlerRun {
 public:
  using Stage = session::ActiveCall::Stage;

  HandlerRun(ServerCore& core, Request& request, CallContext& context, Answer& answer, HandlerPlace& place)
      : core_(core), request_(request), context_(context), answer_(answer), place_(place) {}

  // When this returns the call has been answered, or its handler has deferred that.
  void Run(internal::ServerCall& call);
  // By the handler.
  void Defer() { deferred_ = true; }
  // How far it is. Any thread.
  Stage stage() const { return stage_.load(std::memory_order_relaxed); }
  // For another call.
  void Reset();

  // What the caller is told where user code has thrown an exception, and the log. `reached`: whose it was.
  static absl::Status Failed(ExecState reached, const char* method);
  void LogThrown(ExecState reached) const;

 private:
  absl::Status MayRun(const char* method);
  void BeDeferred();
  void OnThreadExit(ExecState reached);

  ServerCore& core_;
  Request& request_;
  CallContext& context_;
  Answer& answer_;
  HandlerPlace& place_;
  bool deferred_ = false;
  std::atomic<Stage> stage_{Stage::kWaiting};
};

}  // namespace nearcall::rpc
