// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nearcall/bytes.h"
#include "nearcall/call_kind.h"  // IWYU pragma: export
#include "nearcall/call_options.h"
#include "nearcall/callback.h"
#include "nearcall/channel.h"
#include "nearcall/co_stream.h"
#include "nearcall/export.h"
#include "nearcall/internal/coroutine.h"
#include "nearcall/server_context.h"
#include "nearcall/service.h"
#include "nearcall/stream.h"
#include "nearcall/task.h"

// Calls without generated code: any method, by its name, with bytes. For proxies, tools, and languages that have no
// stub.
//
//   nearcall::GenericStub stub(channel);
//   absl::StatusOr<nearcall::Bytes> reply = stub.Unary("demo.Echo/Say", nearcall::Bytes(request.SerializeAsString()));
//
//   class Relay final : public nearcall::GenericService {
//     absl::Status Call(nearcall::ServerContext& context, nearcall::CallKind kind,
//                       nearcall::ServerReaderWriter<nearcall::Bytes, nearcall::Bytes>& stream) override;
//   };
//   Relay relay;
//   auto server = nearcall::ServerBuilder().Listen("shm:echo").RegisterGeneric(&relay).Start();
//
// Neither side knows what the other one is: a generic stub calls any service, and a generic service answers any stub.
// A method's name is "package.Service/Method", at most 1024 bytes of printable ASCII (a slash before it, as gRPC has,
// is left out); what is none ends its call with INVALID_ARGUMENT. Its kind is the caller's to know: a method of another
// kind answers UNIMPLEMENTED. Options, metadata, status, deadlines and threads are those of generated stubs and
// services.
namespace nearcall {

// As a generated X::Stub. Copyable, thread-safe; keeps the channel alive, and so do its streams.
class NEARCALL_EXPORT GenericStub {
 public:
  explicit GenericStub(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}

  absl::StatusOr<Bytes> Unary(absl::string_view method, const Bytes& request, const CallOptions& options = {}) const;
  absl::Status OneWay(absl::string_view method, const Bytes& request, const CallOptions& options = {}) const;
  std::unique_ptr<ClientReader<Bytes>> ServerStreaming(absl::string_view method, const Bytes& request,
                                                       const CallOptions& options = {}) const;
  std::unique_ptr<ClientWriter<Bytes, Bytes>> ClientStreaming(absl::string_view method,
                                                              const CallOptions& options = {}) const;
  std::unique_ptr<ClientReaderWriter<Bytes, Bytes>> BidiStreaming(absl::string_view method,
                                                                  const CallOptions& options = {}) const;

 private:
  std::shared_ptr<Channel> channel_;
};

// As a generated X::AsyncStub: methods that do not stream, by callback.
class NEARCALL_EXPORT GenericAsyncStub {
 public:
  explicit GenericAsyncStub(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}

  void Unary(absl::string_view method, const Bytes& request, Callback<Bytes> callback,
             const CallOptions& options = {}) const;
  void OneWay(absl::string_view method, const Bytes& request, StatusCallback callback,
              const CallOptions& options = {}) const;

 private:
  std::shared_ptr<Channel> channel_;
};

// As a generated X::CoStub. Options have a name (see nearcall::internal::UnsafeOptions).
class NEARCALL_EXPORT GenericCoStub {
 public:
  explicit GenericCoStub(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}

  UnaryCall<Bytes> Unary(absl::string_view method, const Bytes& request,
                         const CallOptions& options = internal::NoOptions()) const;
  UnaryCall<Bytes> Unary(absl::string_view method, const Bytes& request,
                         internal::UnsafeOptions options) const = delete;
  OneWayCall OneWay(absl::string_view method, const Bytes& request,
                    const CallOptions& options = internal::NoOptions()) const;
  OneWayCall OneWay(absl::string_view method, const Bytes& request, internal::UnsafeOptions options) const = delete;
  CoReader<Bytes> ServerStreaming(absl::string_view method, const Bytes& request,
                                  const CallOptions& options = internal::NoOptions()) const;
  CoWriter<Bytes, Bytes> ClientStreaming(absl::string_view method,
                                         const CallOptions& options = internal::NoOptions()) const;
  CoReaderWriter<Bytes, Bytes> BidiStreaming(absl::string_view method,
                                             const CallOptions& options = internal::NoOptions()) const;

 private:
  std::shared_ptr<Channel> channel_;
};

// Serves methods by their names (ServerBuilder::RegisterGeneric): all that no registered service has. Every kind of
// call looks like one in which both sides stream, and `kind` says which it is: where the client does not stream Read()
// gives the one request, and then nothing; where the server does not, what is written is the one reply, and a second
// Write() is false. A handler that ends with OK and has written no reply, where there is to be one, answers INTERNAL.
// (A one-way call has none.) context.method() is the method's name.
//
// A client of a library that does not send names (before this one could) gets UNIMPLEMENTED.
class NEARCALL_EXPORT GenericService : public Service {
 public:
  // As a handler of a generated X::Service that streams: may wait in `stream`. Many threads at once.
  virtual absl::Status Call(ServerContext& context, CallKind kind, ServerReaderWriter<Bytes, Bytes>& stream) = 0;

  const internal::ServiceInfo& GetServiceInfo() const final;
};

// The same as a coroutine; the one that a server with an event queue takes.
class NEARCALL_EXPORT CoGenericService : public Service {
 public:
  virtual Task<absl::Status> Call(ServerContext& context, CallKind kind,
                                  CoServerReaderWriter<Bytes, Bytes>& stream) = 0;

  const internal::ServiceInfo& GetServiceInfo() const final;
};

}  // namespace nearcall
