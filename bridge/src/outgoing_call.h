// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "nearcall/buffer.h"
#include "nearcall/bytes.h"
#include "nearcall/server_context.h"
#include "step.h"
#include "translate.h"

namespace nearcall::grpc {

// A call to a gRPC server, of any kind: to gRPC all are alike. Whatever is awaited of it gives false when the call has
// ended. One coroutine reads, one writes; Cancel() by any thread. After Begin(), End() is awaited before this is
// destroyed.
class OutgoingCall final : private ::grpc::ClientBidiReactor<::grpc::ByteBuffer, ::grpc::ByteBuffer> {
 public:
  // With the metadata and the deadline of `from`.
  explicit OutgoingCall(const ServerContext& from);

  // `method`: "package.Service/Method".
  void Begin(::grpc::GenericStub& stub, const std::string& method);
  void Cancel() { context_.TryCancel(); }

  // --- who reads ---

  // The server's initial metadata have come.
  Step& InitialMetadata() { return initial_metadata_; }
  // A message, which Take() gives then.
  Step& Read();
  absl::Status Take(Parcel& parcel) { return FromGrpc(std::move(received_), parcel); }

  // --- who writes ---

  Step& Write(const Bytes& message, std::span<const Buffer> attachments, bool last);
  Step& WritesDone();

  // --- when nobody reads or writes any more ---

  Step& End();
  const ::grpc::Status& status() const { return status_; }

  const ::grpc::ClientContext& context() const { return context_; }

 private:
  void OnReadInitialMetadataDone(bool ok) override { initial_metadata_.End(ok); }
  void OnReadDone(bool ok) override { read_.End(ok); }
  void OnWriteDone(bool ok) override { write_.End(ok); }
  void OnWritesDoneDone(bool ok) override { write_.End(ok); }
  void OnDone(const ::grpc::Status& status) override;

  ::grpc::ClientContext context_;
  ::grpc::ByteBuffer received_;
  ::grpc::ByteBuffer sent_;
  ::grpc::Status status_;
  Step initial_metadata_;
  Step read_;
  Step write_;
  Step end_;
};

}  // namespace nearcall::grpc
