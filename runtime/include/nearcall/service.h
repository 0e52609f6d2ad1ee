// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nearcall/export.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/stream.h"
#include "nearcall/server_context.h"

namespace google::protobuf {
class MessageLite;
}

namespace nearcall {

class Service;

namespace internal {

// The right to answer a call, once, later and on any thread. Whoever destroys it without an answer answers INTERNAL.
class NEARCALL_EXPORT PendingAnswer {
 public:
  PendingAnswer() = default;
  PendingAnswer(const PendingAnswer&) = delete;
  PendingAnswer& operator=(const PendingAnswer&) = delete;
  virtual ~PendingAnswer() = default;

  // The call's context is gone after this.
  virtual void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) = 0;
  // The same without a reply: of a method whose server streams, or of a one-way one.
  virtual void FinishStream(const absl::Status& status) = 0;
  // The handler has thrown: UNKNOWN, and a line in the log.
  virtual void FinishThrown() = 0;
};

// One call on the server, as the generated thunk sees it. Implemented by the runtime.
class NEARCALL_EXPORT ServerCall {
 public:
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  virtual ServerContext& context() = 0;

  // False if the request does not parse; the call has then been answered (INTERNAL) and the thunk returns. True: the
  // thunk calls the handler, which the caller of a one-way call is told.
  virtual bool ParseRequest(google::protobuf::MessageLite& request) = 0;
  // As it came, without its envelope.
  virtual size_t request_size() const = 0;

  // Answers the call. Exactly once, or Defer().
  virtual void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) = 0;
  virtual std::unique_ptr<PendingAnswer> Defer() = 0;

  // Of a method that streams; after Defer() it lives until the answer. FinishStream: the answer without a reply, of
  // one-way methods too.
  virtual ServerStream& stream() = 0;
  virtual void FinishStream(const absl::Status& status) = 0;

  // As its caller sees it.
  virtual MethodKind kind() const = 0;

 protected:
  ServerCall() = default;
  ~ServerCall() = default;
};

struct ServerMethod {
  MethodInfo info;
  void (*run)(Service& service, ServerCall& call);
  // The handler is a coroutine, which is suspended where others wait: it needs no thread of its own.
  bool suspends = false;
};

struct ServiceInfo {
  const char* full_name;  // "package.Service"
  std::span<const ServerMethod> methods;
};

}  // namespace internal

// The base of every generated `X::Service`. Derive from the generated class, not from this one.
// Registered with a ServerBuilder by pointer; the program owns it and keeps it alive longer than the server.
class NEARCALL_EXPORT Service {
 public:
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  virtual ~Service() = default;

  // Implemented by generated code.
  virtual const internal::ServiceInfo& GetServiceInfo() const = 0;
};

}  // namespace nearcall
