// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "nearcall/co_stream.h"
#include "nearcall/server_context.h"
#include "nearcall/service.h"
#include "nearcall/task.h"
#include "rpc/standard/health_states.h"

namespace nearcall::rpc {

// gRPC's health service (idl/grpc/health/v1/health.proto). Its handlers need no threads.
class Health final : public Service {
 public:
  using Request = wire::health::HealthCheckRequest;
  using Response = wire::health::HealthCheckResponse;

  // `services` outlives this.
  explicit Health(const ServiceTable& services) : states_(services) {}

  HealthStates& states() { return states_; }

  absl::Status Check(ServerContext& context, const Request& request, Response& response);
  // `stream`: the one beneath `writer`.
  Task<absl::Status> Watch(const Request& request, internal::ServerStream& stream, CoServerWriter<Response>& writer);

  const internal::ServiceInfo& GetServiceInfo() const override;

 private:
  HealthStates states_;
};

}  // namespace nearcall::rpc
