// SPDX-License-Identifier: Apache-2.0

// Connect(): a server without a name that forwards, and a channel to it. So each style of stub works, and an event
// queue does, with the code that is there for it.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "address.h"
#include "nearcall/grpc.h"
#include "remote.h"
#include "translate.h"

namespace nearcall::grpc {

namespace {

// What the forwarder is always ready for, gRPC may not be.
template <typename Call>
auto With(const CallOptions& options, Call call) {
  if (!options.wait_for_ready) return call(options);
  CallOptions changed = options;
  changed.metadata.Add(kWaitForReadyKey, "1");
  return call(changed);
}

class RemoteChannel final : public Channel {
 public:
  RemoteChannel(std::string address, std::unique_ptr<Remote> remote, std::unique_ptr<Server> forwarder,
                std::shared_ptr<Channel> local)
      : address_(std::move(address)),
        remote_(std::move(remote)),
        forwarder_(std::move(forwarder)),
        local_(std::move(local)) {}

  std::string transport() const override { return "grpc"; }
  std::string DebugString() const override {
    return absl::StrCat(address_, ", state ", static_cast<int>(state()), ", by way of: ", local_->DebugString());
  }
  ChannelState state() const override { return remote_->state(/*connect=*/false); }
  bool WaitForStateChange(ChannelState last, absl::Time deadline) const override {
    return remote_->WaitForStateChange(last, deadline);
  }

  absl::Status BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                            google::protobuf::MessageLite& reply, const CallOptions& options) override {
    return With(options,
                [&](const CallOptions& changed) { return local_->BlockingCall(method, request, reply, changed); });
  }
  void StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                 const CallOptions& options, internal::OnOutcome done) override {
    With(options, [&](const CallOptions& changed) { local_->StartCall(method, request, changed, std::move(done)); });
  }
  std::unique_ptr<internal::ClientStream> OpenStream(const internal::MethodInfo& method,
                                                     const google::protobuf::MessageLite* request,
                                                     const CallOptions& options) override {
    return With(options, [&](const CallOptions& changed) { return local_->OpenStream(method, request, changed); });
  }
  std::unique_ptr<internal::ClientCall> BeginCall(const internal::MethodInfo& method,
                                                  const google::protobuf::MessageLite* request,
                                                  const CallOptions& options) override {
    return With(options, [&](const CallOptions& changed) { return local_->BeginCall(method, request, changed); });
  }
  absl::Status SendOneWay(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                          const CallOptions& options) override {
    return With(options, [&](const CallOptions& changed) { return local_->SendOneWay(method, request, changed); });
  }

 private:
  const std::string address_;
  // Each is used by the next.
  const std::unique_ptr<Remote> remote_;
  const std::unique_ptr<Server> forwarder_;
  const std::shared_ptr<Channel> local_;
};

// Until gRPC has a connection, or has failed and there is no time left.
absl::Status WaitForConnection(const Remote& remote, absl::string_view address, const ChannelOptions& options) {
  const absl::Time begun = absl::Now();
  const absl::Time give_up = begun + std::max(options.connect_timeout, options.handshake_timeout);
  while (true) {
    const ChannelState state = remote.state(/*connect=*/true);
    if (state == ChannelState::kReady) return absl::OkStatus();
    if (state == ChannelState::kTransientFailure && absl::Now() - begun >= options.connect_timeout) break;
    const absl::Time until = state == ChannelState::kTransientFailure ? begun + options.connect_timeout : give_up;
    if (!remote.WaitForStateChange(state, until) && absl::Now() >= give_up) break;
  }
  return absl::UnavailableError(absl::StrCat("nobody answers at ", address, " (gRPC)"));
}

ServerOptions ForwarderOptions(const ChannelOptions& options) {
  ServerOptions forwarder = {.max_message_size = options.max_message_size,
                             .max_queued_calls = options.max_calls_in_flight,
                             .log_sink = options.log_sink,
                             .health = false,
                             .reflection = false,
                             .stats = false,
                             .max_attachment_bytes = options.max_attachment_bytes,
                             .trust_sender = options.max_attachment_bytes != 0};  // the client is this process
  forwarder.max_stream_bytes =
      std::max(forwarder.max_stream_bytes, options.max_calls_in_flight * forwarder.stream_window_bytes);
  return forwarder;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Channel>> Connect(absl::string_view address, ChannelOptions options,
                                                 std::shared_ptr<::grpc::ChannelCredentials> credentials) {
  if (!absl::StartsWith(address, kScheme)) return Channel::Connect(address, std::move(options));
  if (!options.services.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ChannelOptions::services: no gRPC server can call them, nor can that of ", address));
  }
  absl::StatusOr<std::unique_ptr<Remote>> remote = Remote::Open(address, {.credentials = std::move(credentials),
                                                                          .max_message_size = options.max_message_size,
                                                                          .keepalive = options.keepalive});
  if (!remote.ok()) return remote.status();
  if (!options.lazy && options.event_queue == nullptr) {
    if (absl::Status connected = WaitForConnection(**remote, address, options); !connected.ok()) return connected;
  }
  absl::StatusOr<std::unique_ptr<Server>> forwarder =
      ServerBuilder(ForwarderOptions(options)).RegisterGeneric(remote->get()).Start();
  if (!forwarder.ok()) return forwarder.status();
  // These are about who is at the other end.
  options.allowed_uids.clear();
  options.keepalive = {};
  absl::StatusOr<std::shared_ptr<Channel>> local = (*forwarder)->InProcessChannel(std::move(options));
  if (!local.ok()) return local.status();
  return std::make_shared<RemoteChannel>(std::string(address), *std::move(remote), *std::move(forwarder),
                                         *std::move(local));
}

}  // namespace nearcall::grpc
