// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nearcall/call_kind.h"
#include "nearcall/call_options.h"
#include "nearcall/export.h"
#include "nearcall/metadata.h"

// What is done at every call of a channel, or of a server, whatever its method: logs, metrics, tokens, limits. As
// gRPC's interceptors (https://grpc.io/docs/guides/interceptors/), of whole calls: messages are counted, not shown.
//
//   class Timing final : public nearcall::ClientInterceptor {
//     absl::StatusOr<nearcall::OnCallEnd> Start(const nearcall::CallInfo&, nearcall::CallOptions& options) override {
//       options.metadata.Add("token", token_);
//       return [this](const nearcall::CallEnd& end) { Record(end.call.method, end.status.code(), end.duration); };
//     }
//   };
//   auto channel = nearcall::Channel::Connect("shm:echo", {.interceptors = {std::make_shared<Timing>()}});
//
//   class OnlyWithToken final : public nearcall::ServerInterceptor {
//     absl::StatusOr<nearcall::OnCallEnd> Start(const nearcall::CallInfo&, nearcall::ServerContext& context) override {
//       if (context.client_metadata().Get("token") != token_) return absl::UnauthenticatedError("no token");
//       return nullptr;
//     }
//   };
//   auto server = nearcall::ServerBuilder({.interceptors = {std::make_shared<OnlyWithToken>()}}).Listen("shm:echo")...
//
// Several are asked one after the other, the first of the list first, and hear of the end in the opposite order. Every
// start has one end: a call that is refused, cancelled, late, or dropped, and one whose connection is lost, too. One
// that the channel makes again (it was not sent, or no handler had seen it) starts once and ends once.
//
// None of this runs under a lock of the library. An interceptor is used by many threads at once, and kept as long as
// there are calls that it is to hear of. What it does takes its time from the call. What it throws is logged; in
// Start() the call ends with UNKNOWN, without the text. In an OnCallEnd it does not end its thread (pthread_exit(3)).
//
// Where there are none, nothing is paid for: calls go the way that they would go without this.
namespace nearcall {

class ServerContext;

// Valid until the end of the call has been told.
struct CallInfo {
  absl::string_view method;  // "package.Service/Method"
  CallKind kind;
};

// How a call has ended. Valid while it is told.
struct CallEnd {
  const CallInfo& call;

  // What the caller gets. On a server: what it is sent, whether or not it still waits for that
  // (ServerContext::IsCancelled); of a one-way call, what the handler has ended with.
  const absl::Status& status;

  // Since this side's Start().
  absl::Duration duration;

  // Messages, as the program has written and read them: a request, a reply, or an element of a stream is one.
  uint64_t sent;
  uint64_t received;

  // The server's.
  const Metadata& initial_metadata;
  const Metadata& trailing_metadata;
};

// Hears of the end of a call, once. What belongs to the call is its to keep: a lambda's captures. (nullptr: nobody.)
using OnCallEnd = absl::AnyInvocable<void(const CallEnd& end) &&>;

// Of a channel (ChannelOptions::interceptors): all calls of all stubs that are made of it, of whatever style and kind.
class NEARCALL_EXPORT ClientInterceptor {
 public:
  virtual ~ClientInterceptor() = default;

  // A call begins: on the thread that makes it, within the stub's method, before anything of it is checked or sent.
  // `options` are the call's own from here on: metadata, deadline, priority, cancellation, all may be changed. (Their
  // `response_metadata` are the caller's.)
  //
  // An error refuses the call, which ends with just that and ExecState::kNotSent; the interceptors behind this one are
  // not asked, those before it hear of that end at once.
  //
  // The end is told when the caller learns of it: before a blocking call returns, and before a callback is run, on its
  // thread; in the first Finish() of a stream, and where a coroutine goes on that awaited the status or the reply; in
  // the destructor of a stream or call of which nobody has asked that (CANCELLED, unless a status had come to a Stub's
  // stream). That of a one-way call is what its caller is told.
  virtual absl::StatusOr<OnCallEnd> Start(const CallInfo& call, CallOptions& options) = 0;
};

// Of a server (ServerOptions::interceptors): all calls of methods that it has, of whatever style and kind, those of a
// generic service and of the standard ones (grpc.health.v1.Health, grpc.reflection.v1.ServerReflection) too. Calls that
// are over before they begin, that find no room, or whose methods nobody serves, do not start here.
class NEARCALL_EXPORT ServerInterceptor {
 public:
  virtual ~ServerInterceptor() = default;

  // A call begins: on the thread that would run its handler, as a part of it (it may block as that may), before
  // ServerOptions::authorize is asked, and before the request is parsed. `context` is the handler's, and lives until
  // the end has been told: who calls, with which metadata, until when. What is put into its initial and trailing
  // metadata is sent with the answer.
  //
  // An error refuses the call, as one of `authorize` does: the caller gets just that.
  //
  // The end is told on the thread that answers, before the answer leaves: trailing metadata may be added still. What
  // goes wrong while that is sent is not seen here.
  virtual absl::StatusOr<OnCallEnd> Start(const CallInfo& call, ServerContext& context) = 0;
};

}  // namespace nearcall
