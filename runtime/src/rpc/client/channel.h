// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/reactor.h"
#include "nearcall/channel.h"
#include "rpc/channel_services.h"
#include "rpc/client/async_calls.h"
#include "rpc/client/async_connections.h"
#include "rpc/client/client_stream.h"
#include "rpc/client/servers.h"
#include "session/client_session.h"
#include "transport/address.h"

namespace nearcall::rpc {

// The channel behind nearcall::Channel: calls of all styles, over a session that its servers have now.
class ChannelImpl final : public Channel, private AsyncCalls::Owner {
 public:
  ChannelImpl(transport::Address address, ChannelOptions options);
  // See ChannelOver().
  ChannelImpl(std::shared_ptr<session::ClientSession> session, absl::Status after, ChannelOptions options);
  ~ChannelImpl() override;

  bool lazy() const { return options_.lazy || options_.event_queue != nullptr; }
  // Before the first connection. Errors as ChannelServices::Start().
  absl::Status StartServices();
  // The first connection, waiting for the server until `connect_timeout`.
  absl::Status ConnectFirst();

  const std::shared_ptr<base::Logger>& logger() const { return logger_; }

  std::string transport() const override;
  std::string DebugString() const override;
  ChannelState state() const override;
  bool WaitForStateChange(ChannelState last, absl::Time deadline) const override;
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
  using SessionPtr = Servers::SessionPtr;

  absl::Status TryCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                       google::protobuf::MessageLite* reply, const CallOptions& options);
  absl::Status TryKeep(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                       const CallOptions& options);
  bool Begins(const std::shared_ptr<AsyncCall>& call, const google::protobuf::MessageLite* request);
  absl::Status TryOpen(ClientStreamImpl& stream, const google::protobuf::MessageLite* request);
  absl::Status OpenAnywhere(StreamAttempts& attempts, const std::stop_token& stop);
  template <typename Run>
  absl::Status OverASession(const CallOptions& options, base::SteadyNs deadline, const std::stop_token& stop,
                            Run&& run);
  // For a session that nobody will make.
  bool WaitsInVain(const CallOptions& options) const { return options.wait_for_ready && !servers_.connects(); }

  // AsyncCalls::Owner
  std::optional<absl::StatusOr<SessionPtr>> Connect(base::SteadyNs deadline, std::function<void()> wake) override;
  bool StartElsewhere(const std::shared_ptr<AsyncCall>& call) override { return async_.Start(call); }

  const ChannelOptions options_;
  const base::ReactorUse reactor_;
  const std::shared_ptr<base::Logger> logger_;
  const base::ForkGuard fork_guard_;
  std::unique_ptr<ChannelServices> services_;
  Servers servers_;
  const std::shared_ptr<LocalLosses> losses_;
  AsyncConnections async_;
};

// What the program calls: `channel` itself, unless there are interceptors.
std::shared_ptr<Channel> Intercepted(std::shared_ptr<ChannelImpl> channel,
                                     std::vector<std::shared_ptr<ClientInterceptor>> interceptors);

}  // namespace nearcall::rpc
