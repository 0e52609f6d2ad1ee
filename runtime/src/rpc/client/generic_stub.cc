// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "absl/strings/strip.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/generic.h"
#include "nearcall/internal/unary.h"
#include "rpc/client/generic_method.h"

namespace nearcall {

namespace {

using internal::MethodKind;

std::shared_ptr<const rpc::GenericMethod> Named(absl::string_view method, MethodKind kind) {
  return std::make_shared<const rpc::GenericMethod>(absl::StripPrefix(method, "/"), kind);
}

std::unique_ptr<internal::ClientStream> Open(Channel& channel, absl::string_view method, MethodKind kind,
                                             const google::protobuf::MessageLite* request, const CallOptions& options) {
  return channel.OpenStream(*Named(method, kind), request, options);
}

template <typename Call>
Call Begin(const std::shared_ptr<Channel>& channel, absl::string_view method, MethodKind kind,
           const google::protobuf::MessageLite* request, const CallOptions& options) {
  return internal::BeginCall<Call>(channel, *Named(method, kind), request, options);
}

const google::protobuf::MessageLite* MessageOf(const Bytes& bytes) {
  const google::protobuf::MessageLite& message = bytes;
  return &message;
}

}  // namespace

// --- blocking ---

absl::StatusOr<Bytes> GenericStub::Unary(absl::string_view method, const Bytes& request,
                                         const CallOptions& options) const {
  return internal::BlockingUnary<Bytes, Bytes>(*channel_, *Named(method, MethodKind::kUnary), request, options);
}

absl::Status GenericStub::OneWay(absl::string_view method, const Bytes& request, const CallOptions& options) const {
  return channel_->SendOneWay(*Named(method, MethodKind::kOneWay), request, options);
}

std::unique_ptr<ClientReader<Bytes>> GenericStub::ServerStreaming(absl::string_view method, const Bytes& request,
                                                                  const CallOptions& options) const {
  return std::make_unique<ClientReader<Bytes>>(
      channel_, Open(*channel_, method, MethodKind::kServerStreaming, MessageOf(request), options));
}

std::unique_ptr<ClientWriter<Bytes, Bytes>> GenericStub::ClientStreaming(absl::string_view method,
                                                                         const CallOptions& options) const {
  return std::make_unique<ClientWriter<Bytes, Bytes>>(
      channel_, Open(*channel_, method, MethodKind::kClientStreaming, nullptr, options));
}

std::unique_ptr<ClientReaderWriter<Bytes, Bytes>> GenericStub::BidiStreaming(absl::string_view method,
                                                                             const CallOptions& options) const {
  return std::make_unique<ClientReaderWriter<Bytes, Bytes>>(
      channel_, Open(*channel_, method, MethodKind::kBidiStreaming, nullptr, options));
}

// --- by callback ---

void GenericAsyncStub::Unary(absl::string_view method, const Bytes& request, Callback<Bytes> callback,
                             const CallOptions& options) const {
  internal::AsyncUnary<Bytes, Bytes>(*channel_, *Named(method, MethodKind::kUnary), request, std::move(callback),
                                     options);
}

void GenericAsyncStub::OneWay(absl::string_view method, const Bytes& request, StatusCallback callback,
                              const CallOptions& options) const {
  internal::AsyncOneWay<Bytes, Bytes>(*channel_, *Named(method, MethodKind::kOneWay), request, std::move(callback),
                                      options);
}

// --- coroutines ---

UnaryCall<Bytes> GenericCoStub::Unary(absl::string_view method, const Bytes& request,
                                      const CallOptions& options) const {
  return Begin<UnaryCall<Bytes>>(channel_, method, MethodKind::kUnary, MessageOf(request), options);
}

OneWayCall GenericCoStub::OneWay(absl::string_view method, const Bytes& request, const CallOptions& options) const {
  return Begin<OneWayCall>(channel_, method, MethodKind::kOneWay, MessageOf(request), options);
}

CoReader<Bytes> GenericCoStub::ServerStreaming(absl::string_view method, const Bytes& request,
                                               const CallOptions& options) const {
  return Begin<CoReader<Bytes>>(channel_, method, MethodKind::kServerStreaming, MessageOf(request), options);
}

CoWriter<Bytes, Bytes> GenericCoStub::ClientStreaming(absl::string_view method, const CallOptions& options) const {
  return Begin<CoWriter<Bytes, Bytes>>(channel_, method, MethodKind::kClientStreaming, nullptr, options);
}

CoReaderWriter<Bytes, Bytes> GenericCoStub::BidiStreaming(absl::string_view method, const CallOptions& options) const {
  return Begin<CoReaderWriter<Bytes, Bytes>>(channel_, method, MethodKind::kBidiStreaming, nullptr, options);
}

}  // namespace nearcall
