// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "nearcall/co_stream.h"
#include "nearcall/server_context.h"
#include "nearcall/service.h"
#include "nearcall/standard/reflection.pb.h"
#include "nearcall/task.h"
#include "rpc/server/service_table.h"

namespace nearcall::rpc {

// gRPC's reflection service (idl/grpc/reflection/v1/reflection.proto). Its handlers need no threads.
class Reflection final : public Service {
 public:
  using Request = wire::reflection::ServerReflectionRequest;
  using Response = wire::reflection::ServerReflectionResponse;

  // `services` outlives this.
  explicit Reflection(const ServiceTable& services) : services_(services) {}

  Task<absl::Status> ServerReflectionInfo(ServerContext& context, CoServerReaderWriter<Request, Response>& stream);

  const internal::ServiceInfo& GetServiceInfo() const override;

 private:
  Response Answer(const Request& request) const;

  const ServiceTable& services_;
};

}  // namespace nearcall::rpc
