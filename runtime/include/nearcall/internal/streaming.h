// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "nearcall/call_options.h"
#include "nearcall/channel.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/stream.h"
#include "nearcall/service.h"
#include "nearcall/stream.h"

// The typed edges of methods that stream. Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

template <typename Request, typename Reply>
std::unique_ptr<ClientReader<Reply>> OpenReader(std::shared_ptr<Channel> channel, const MethodInfo& method,
                                                const Request& request, const CallOptions& options) {
  std::unique_ptr<ClientStream> stream = channel->OpenStream(method, &request, options);
  return std::make_unique<ClientReader<Reply>>(std::move(channel), std::move(stream));
}

template <typename Request, typename Reply>
std::unique_ptr<ClientWriter<Request, Reply>> OpenWriter(std::shared_ptr<Channel> channel, const MethodInfo& method,
                                                         const CallOptions& options) {
  std::unique_ptr<ClientStream> stream = channel->OpenStream(method, nullptr, options);
  return std::make_unique<ClientWriter<Request, Reply>>(std::move(channel), std::move(stream));
}

template <typename Request, typename Reply>
std::unique_ptr<ClientReaderWriter<Request, Reply>> OpenReaderWriter(std::shared_ptr<Channel> channel,
                                                                     const MethodInfo& method,
                                                                     const CallOptions& options) {
  std::unique_ptr<ClientStream> stream = channel->OpenStream(method, nullptr, options);
  return std::make_unique<ClientReaderWriter<Request, Reply>>(std::move(channel), std::move(stream));
}

// The thunks between the runtime and the handler `kMethod` of the generated class `S`.
template <typename S, typename Request, typename Reply,
          absl::Status (S::*kMethod)(ServerContext&, const Request&, ServerWriter<Reply>&)>
void RunServerStreaming(Service& service, ServerCall& call) {
  Request request;
  if (!call.ParseRequest(request)) return;
  ServerWriter<Reply> writer(call.stream());
  call.FinishStream((static_cast<S&>(service).*kMethod)(call.context(), request, writer));
}

template <typename S, typename Request, typename Reply,
          absl::Status (S::*kMethod)(ServerContext&, ServerReader<Request>&, Reply&)>
void RunClientStreaming(Service& service, ServerCall& call) {
  ServerReader<Request> reader(call.stream());
  Reply reply;
  const absl::Status status = (static_cast<S&>(service).*kMethod)(call.context(), reader, reply);
  call.Finish(status, reply);
}

template <typename S, typename Request, typename Reply,
          absl::Status (S::*kMethod)(ServerContext&, ServerReaderWriter<Request, Reply>&)>
void RunBidiStreaming(Service& service, ServerCall& call) {
  ServerReaderWriter<Request, Reply> stream(call.stream());
  call.FinishStream((static_cast<S&>(service).*kMethod)(call.context(), stream));
}

}  // namespace nearcall::internal
