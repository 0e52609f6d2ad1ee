// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "interop_service.h"

namespace nearcall::interop {

// The same as InteropService, by coroutines.
class CoInteropService final : public pb::TestService::CoService {
 public:
  explicit CoInteropService(std::string id) : id_(std::move(id)) {}

  Task<absl::Status> EmptyCall(ServerContext& context, const pb::Empty& request, pb::Empty& reply) override;
  Task<absl::Status> UnaryCall(ServerContext& context, const pb::SimpleRequest& request,
                               pb::SimpleResponse& reply) override;
  Task<absl::Status> StreamingOutputCall(ServerContext& context, const pb::StreamingOutputCallRequest& request,
                                         CoServerWriter<pb::StreamingOutputCallResponse>& writer) override;
  Task<absl::Status> StreamingInputCall(ServerContext& context, CoServerReader<pb::StreamingInputCallRequest>& reader,
                                        pb::StreamingInputCallResponse& reply) override;
  Task<absl::Status> FullDuplexCall(
      ServerContext& context,
      CoServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) override;
  Task<absl::Status> HalfDuplexCall(
      ServerContext& context,
      CoServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) override;

 private:
  const std::string id_;
};

}  // namespace nearcall::interop
