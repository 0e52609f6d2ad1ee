// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nearcall/call_options.h"
#include "nearcall/callback.h"
#include "nearcall/channel.h"
#include "nearcall/export.h"
#include "nearcall/internal/in_place.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/outcome.h"
#include "nearcall/internal/warm_message.h"
#include "nearcall/service.h"

// The typed edges of methods that do not stream. Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

template <typename Request, typename Reply>
absl::StatusOr<Reply> BlockingUnary(Channel& channel, const MethodInfo& method, const Request& request,
                                    const CallOptions& options) {
  absl::StatusOr<Reply> reply(kInPlace);
  absl::Status status = channel.BlockingCall(method, request, *reply, options);
  if (!status.ok()) reply = std::move(status);
  return reply;
}

template <typename Request, typename Reply>
void AsyncUnary(Channel& channel, const MethodInfo& method, const Request& request, Callback<Reply> callback,
                const CallOptions& options) {
  channel.StartCall(method, request, options, [callback = std::move(callback)](Outcome& outcome) mutable {
    absl::StatusOr<Reply> reply(kInPlace);
    absl::Status status = outcome.Take(*reply);
    if (!status.ok()) reply = std::move(status);
    std::move(callback)(std::move(reply));
  });
}

// The thunk between the runtime and the handler `kMethod` of the generated class `S`.
template <typename S, typename Request, typename Reply,
          absl::Status (S::*kMethod)(ServerContext&, const Request&, Reply&)>
void RunUnary(Service& service, ServerCall& call) {
  WarmRequest<Request> request;
  if (!call.ParseRequest(*request)) return;
  WarmReply<Reply> reply;
  const absl::Status status = (static_cast<S&>(service).*kMethod)(call.context(), *request, *reply);
  call.Finish(status, *reply);
  request.Keep(call.request_size());
  reply.Keep(static_cast<size_t>((*reply).GetCachedSize()));
}

// The same for an asynchronous handler, which `handle` calls. Request and reply live as long as `done`.
template <typename Request, typename Reply, typename Handle>
void RunDeferred(ServerCall& call, const Handle& handle) {
  struct Pending {
    Request request;
    Reply reply;
    std::unique_ptr<PendingAnswer> answer;
  };
  auto pending = std::make_unique<Pending>();
  if (!call.ParseRequest(pending->request)) return;
  pending->answer = call.Defer();
  Pending& parts = *pending;
  handle(parts.request, parts.reply, [pending = std::move(pending)](const absl::Status& status) {
    pending->answer->Finish(status, pending->reply);
  });
}

template <typename S, typename Request, typename Reply,
          void (S::*kMethod)(ServerContext&, const Request&, Reply&, Done)>
void RunAsyncUnary(Service& service, ServerCall& call) {
  RunDeferred<Request, Reply>(call, [&](const Request& request, Reply& reply, Done done) {
    (static_cast<S&>(service).*kMethod)(call.context(), request, reply, std::move(done));
  });
}

// --- one-way ---

template <typename Reply, typename Request>
void AsyncOneWay(Channel& channel, const MethodInfo& method, const Request& request, StatusCallback callback,
                 const CallOptions& options) {
  channel.StartCall(method, request, options, [callback = std::move(callback)](Outcome& outcome) mutable {
    Reply nothing;
    std::move(callback)(outcome.Take(nothing));
  });
}

template <typename S, typename Request, typename Reply, absl::Status (S::*kMethod)(ServerContext&, const Request&)>
void RunOneWay(Service& service, ServerCall& call) {
  WarmRequest<Request> request;
  if (!call.ParseRequest(*request)) return;
  call.FinishStream((static_cast<S&>(service).*kMethod)(call.context(), *request));
  request.Keep(call.request_size());
}

template <typename S, typename Request, typename Reply, void (S::*kMethod)(ServerContext&, const Request&, Done)>
void RunAsyncOneWay(Service& service, ServerCall& call) {
  RunDeferred<Request, Reply>(call, [&](const Request& request, Reply&, Done done) {
    (static_cast<S&>(service).*kMethod)(call.context(), request, std::move(done));
  });
}

// What a method answers that nobody has overridden.
NEARCALL_EXPORT absl::Status Unimplemented(const MethodInfo& method);

}  // namespace nearcall::internal
