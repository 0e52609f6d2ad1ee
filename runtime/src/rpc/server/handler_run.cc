// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/handler_run.h"

#include <cxxabi.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "base/probes.h"
#include "base/returnable.h"
#include "rpc/server/service_table.h"
#include "session/server_session.h"

namespace nearcall::rpc {

namespace {

// Whose code it was: the handler's, or what runs before that. (What an interceptor throws is caught elsewhere.)
const char* WhatRan(ExecState reached) {
  return reached == ExecState::kNotStarted ? "an interceptor or ServerOptions::authorize for " : "the handler of ";
}

// UNAVAILABLE of a call that was not started is how a server says that it goes away.
ExecState StateOfRefusal(const absl::Status& why) {
  return absl::IsUnavailable(why) ? ExecState::kMaybeExecuted : ExecState::kNotStarted;
}

}  // namespace

// What the exception said may be what the caller must not see.
absl::Status HandlerRun::Failed(ExecState reached, const char* method) {
  return absl::UnknownError(absl::StrCat(WhatRan(reached), method, " failed"));
}

// Whether the client may call this method.
absl::Status HandlerRun::MayRun(const char* method) {
  if (!core_.options.interceptors.empty()) {
    if (absl::Status begun = answer_.AskInterceptors(); !begun.ok()) return begun;
  }
  return core_.options.authorize ? core_.options.authorize(context_.peer(), method) : absl::OkStatus();
}

// User code, all of it: whether the client may call this method, and then what the method does.
void HandlerRun::Run(internal::ServerCall& call) {
  const char* name = request_.method_name();
  place_.BeginHandler();
  stage_.store(Stage::kInHandler, std::memory_order_relaxed);
  ExecState reached = ExecState::kNotStarted;
  // In an event queue nobody else could use it meanwhile.
  const bool returns_place = core_.reactor() == nullptr && !request_.suspends();
  const base::Returnable::Held held(returns_place ? &place_ : nullptr);
  try {
    if (absl::Status may = MayRun(name); !may.ok()) return answer_.Refuse(may, StateOfRefusal(may));
    reached = ExecState::kExecuted;
    NEARCALL_PROBE4(server_call_start, &call, name, request_.session->client().peer().pid, request_.arrived);
    core_.calls_started.fetch_add(1, std::memory_order_relaxed);
    request_.method->method->run(*request_.method->service, call);
    if (deferred_) BeDeferred();
  } catch (abi::__forced_unwind&) {
    OnThreadExit(reached);
    throw;
  } catch (...) {
    LogThrown(reached);
    if (!deferred_ && !answer_.given()) answer_.Give(Failed(reached, name), reached);
  }
}

// The handler has returned; its answer comes later.
void HandlerRun::BeDeferred() {
  if (!request_.suspends()) return stage_.store(Stage::kDeferred, std::memory_order_relaxed);
  stage_.store(Stage::kSuspended, std::memory_order_relaxed);
  // It may be one of thousands that wait for what comes in an hour.
  request_.message.bytes.Trim(0);
}

void HandlerRun::Reset() {
  deferred_ = false;
  stage_.store(Stage::kWaiting, std::memory_order_relaxed);
}

void HandlerRun::LogThrown(ExecState reached) const {
  answer_.Log(LogSeverity::kError, absl::StrCat(WhatRan(reached), request_.method_name(), " threw an exception"));
}

// The user's code has called pthread_exit(3). The thread goes on unwinding; its caller must not wait for ever.
void HandlerRun::OnThreadExit(ExecState reached) {
  const absl::Status status = base::OrNoMemory([&] {
    const std::string text =
        absl::StrCat(WhatRan(reached), request_.method_name(), " has ended its thread (pthread_exit)");
    answer_.Log(LogSeverity::kError, text);
    return absl::InternalError(text);
  });
  if (!deferred_ && !answer_.given()) answer_.Give(status, reached);
}

}  // namespace nearcall::rpc
