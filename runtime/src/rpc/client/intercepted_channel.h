// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "nearcall/channel.h"
#include "rpc/client/client_interception.h"

namespace nearcall::rpc {

// A channel that has interceptors: asks them, and has another one make the calls.
class InterceptedChannel final : public Channel {
 public:
  InterceptedChannel(std::shared_ptr<Channel> channel, ClientInterception::All interceptors)
      : channel_(std::move(channel)), interceptors_(std::move(interceptors)) {}

  std::string transport() const override { return channel_->transport(); }
  std::string DebugString() const override { return channel_->DebugString(); }
  ChannelState state() const override { return channel_->state(); }
  bool WaitForStateChange(ChannelState last, absl::Time deadline) const override {
    return channel_->WaitForStateChange(last, deadline);
  }
  absl::Status BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                            google::protobuf::MessageLite& reply, const CallOptions& options) override;
  void StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                 const CallOptions& options, internal::OnOutcome done) override;
  std::unique_ptr<internal::ClientStream> OpenStream(const internal::MethodInfo& method,
                                                     const google::protobuf::MessageLite* request,
                                                     const CallOptions& options) override;
  std::unique_ptr<internal::ClientCall> BeginCall(const internal::MethodInfo& method,
                                                  const google::protobuf::MessageLite* request,
                                                  const CallOptions& options) override;
  absl::Status SendOneWay(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                          const CallOptions& options) override;

 private:
  template <typename Call>
  absl::Status Intercept(const internal::MethodInfo& method, const CallOptions& options, Call&& call);

  const std::shared_ptr<Channel> channel_;
  const ClientInterception::All interceptors_;
};

}  // namespace nearcall::rpc
