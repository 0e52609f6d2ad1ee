// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <utility>

#include "nearcall/grpc.h"

namespace nearcall::grpc {

class OutgoingCall;

// Forwards each call to a gRPC server: two coroutines, one for each direction. What the server answers ends both.
class RemoteImpl final : public Remote {
 public:
  explicit RemoteImpl(std::shared_ptr<::grpc::Channel> channel) : channel_(std::move(channel)), stub_(channel_) {}

  // Remote
  ChannelState state(bool connect) const override;
  bool WaitForStateChange(ChannelState last, absl::Time deadline) const override;
  Task<absl::Status> Call(ServerContext& context, CallKind kind, CoServerReaderWriter<Bytes, Bytes>& stream) override;

 private:
  const std::shared_ptr<::grpc::Channel> channel_;
  ::grpc::GenericStub stub_;
};

}  // namespace nearcall::grpc
