// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <span>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "nearcall/buffer.h"
#include "nearcall/bytes.h"
#include "nearcall/call_options.h"
#include "nearcall/server_context.h"
#include "step.h"
#include "translate.h"

namespace nearcall::grpc {

// A call of a gRPC client's, of any kind: to gRPC all are alike. Whatever is awaited of it gives false when the call
// has ended. One coroutine reads, one writes. It is destroyed when `done` is called, which is after End(), and not
// before.
class IncomingCall final : public ::grpc::ServerGenericBidiReactor {
 public:
  IncomingCall(::grpc::GenericCallbackServerContext& context, std::function<void()> done)
      : context_(context), done_(std::move(done)) {}

  // What the client asks for: its metadata, its deadline; who it is; and that it may cancel.
  CallOptions Options() const;
  bool cancelled() const { return context_.IsCancelled(); }

  // --- who reads ---

  // A message, which Take() gives then.
  Step& Read();
  absl::Status Take(Parcel& parcel) { return FromGrpc(std::move(received_), parcel); }

  // --- who writes ---

  Step& SendMetadata(const Metadata& initial);
  Step& Write(const Bytes& message, std::span<const Buffer> attachments);
  void AddTrailing(const Metadata& trailing);
  // What End(OK) sends.
  void Reply(const Bytes& reply, std::span<const Buffer> attachments, const ResponseMetadata& metadata);
  void End(const absl::Status& status);

 private:
  void OnReadDone(bool ok) override { read_.End(ok); }
  void OnWriteDone(bool ok) override { write_.End(ok); }
  void OnSendInitialMetadataDone(bool ok) override { write_.End(ok); }
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { done_(); }

  void AddInitial(const Metadata& initial);

  ::grpc::GenericCallbackServerContext& context_;
  const std::function<void()> done_;
  std::stop_source stop_;
  ::grpc::ByteBuffer received_;
  ::grpc::ByteBuffer sent_;
  bool has_reply_ = false;  // in sent_
  Step read_;
  Step write_;
};

}  // namespace nearcall::grpc
