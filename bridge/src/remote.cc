// SPDX-License-Identifier: Apache-2.0
#include "remote.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <climits>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "address.h"
#include "nearcall/task.h"
#include "outgoing_call.h"
#include "translate.h"

namespace nearcall::grpc {

namespace {

using Stream = CoServerReaderWriter<Bytes, Bytes>;

constexpr bool ClientStreams(CallKind kind) {
  return kind == CallKind::kClientStreaming || kind == CallKind::kBidiStreaming;
}
constexpr bool ServerStreams(CallKind kind) {
  return kind == CallKind::kServerStreaming || kind == CallKind::kBidiStreaming;
}

absl::Status NoDescriptors() {
  return absl::FailedPreconditionError("descriptors cannot leave this machine: gRPC carries none");
}

// From the caller to the server.
Task<> Up(OutgoingCall& call, ServerContext& context, CallKind kind, Stream& stream, absl::Status& failure) {
  Bytes message;
  while (co_await stream.Read(&message)) {
    if (!stream.TakeDescriptors().empty()) {
      failure = NoDescriptors();
      call.Cancel();
      co_return;
    }
    const bool last = !ClientStreams(kind);
    if (!co_await call.Write(message, stream.attachments(), last) || last) co_return;
  }
  if (!context.IsCancelled()) co_await call.WritesDone();
}

// From the server to the caller.
Task<> Down(OutgoingCall& call, ServerContext& context, CallKind kind, Stream& stream, absl::Status& failure) {
  // Without them nothing comes, and gRPC is not to be asked for more.
  const bool begins = co_await call.InitialMetadata();
  if (!begins) {
    stream.StopReading();
    co_return;
  }
  FromGrpc(call.context().GetServerInitialMetadata(), context.initial_metadata());
  if (ServerStreams(kind)) context.SendInitialMetadata();
  Parcel parcel;
  while (co_await call.Read()) {
    failure = call.Take(parcel);
    if (failure.ok()) {
      for (Buffer& buffer : parcel.attachments) stream.Attach(std::move(buffer));
      if (kind == CallKind::kOneWay || co_await stream.Write(parcel.message)) continue;
    }
    if (failure.ok() && !context.IsCancelled() && !ServerStreams(kind)) {
      failure = absl::InternalError("the server has sent more than one reply");
    }
    call.Cancel();
    break;
  }
  // It may have answered without waiting for all that the caller sends.
  stream.StopReading();
}

::grpc::ChannelArguments ArgumentsOf(const RemoteOptions& options) {
  const auto milliseconds = [](absl::Duration duration) {
    return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 1, INT_MAX));
  };
  ::grpc::ChannelArguments arguments;
  const int size = static_cast<int>(std::min<size_t>(options.max_message_size, INT_MAX));
  arguments.SetMaxReceiveMessageSize(size);
  arguments.SetMaxSendMessageSize(-1);  // the server says what it takes
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataSize);
  // A channel of its own for each: calls of different users do not share a connection's flow control.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (options.keepalive.interval != absl::InfiniteDuration()) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(options.keepalive.interval));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(options.keepalive.timeout));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, options.keepalive.without_calls ? 1 : 0);
  }
  return arguments;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Remote>> Remote::Open(absl::string_view address, RemoteOptions options) {
  absl::StatusOr<std::string> target = ParseAddress(address);
  if (!target.ok()) return target.status();
  auto credentials = options.credentials;
  if (credentials == nullptr) credentials = ::grpc::InsecureChannelCredentials();
  return std::make_unique<RemoteImpl>(
      ::grpc::CreateCustomChannel("dns:///" + *target, credentials, ArgumentsOf(options)));
}

// The two count alike: https://github.com/grpc/grpc/blob/master/doc/connectivity-semantics-and-api.md
static_assert(static_cast<int>(ChannelState::kIdle) == GRPC_CHANNEL_IDLE &&
              static_cast<int>(ChannelState::kConnecting) == GRPC_CHANNEL_CONNECTING &&
              static_cast<int>(ChannelState::kReady) == GRPC_CHANNEL_READY &&
              static_cast<int>(ChannelState::kTransientFailure) == GRPC_CHANNEL_TRANSIENT_FAILURE &&
              static_cast<int>(ChannelState::kShutdown) == GRPC_CHANNEL_SHUTDOWN);

ChannelState RemoteImpl::state(bool connect) const {
  return static_cast<ChannelState>(channel_->GetState(connect));
}

bool RemoteImpl::WaitForStateChange(ChannelState last, absl::Time deadline) const {
  return channel_->WaitForStateChange(static_cast<grpc_connectivity_state>(last), absl::ToChronoTime(deadline));
}

Task<absl::Status> RemoteImpl::Call(ServerContext& context, CallKind kind, Stream& stream) {
  absl::Status failure_up;
  absl::Status failure_down;
  OutgoingCall call(context);
  call.Begin(stub_, std::string(context.method()));
  {
    const std::stop_callback cancel(context.stop_token(), [&call] { call.Cancel(); });
    co_await WhenAll(Up(call, context, kind, stream, failure_up), Down(call, context, kind, stream, failure_down));
  }
  co_await call.End();
  FromGrpc(call.context().GetServerTrailingMetadata(), context.trailing_metadata());
  if (!failure_up.ok()) co_return failure_up;
  if (!failure_down.ok()) co_return failure_down;
  co_return FromGrpc(call.status());
}

}  // namespace nearcall::grpc
