// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "interop.nearcall.pb.h"

namespace nearcall::interop {

namespace pb = grpc::testing;

// Its first value in a call's metadata comes back as initial metadata.
inline constexpr absl::string_view kEchoInitialKey = "x-grpc-test-echo-initial";
// Its first value in a call's metadata comes back as trailing metadata.
inline constexpr absl::string_view kEchoTrailingKey = "x-grpc-test-echo-trailing-bin";
// Ours: FullDuplexCall sends a reply of so many bytes before it reads anything.
inline constexpr absl::string_view kAnswerFirstKey = "x-nearcall-test-answer-first";

// The service that gRPC's interoperability cases call, as
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md asks of servers. Thread-safe.
class InteropService final : public pb::TestService::Service {
 public:
  // `id` is what SimpleRequest::fill_server_id asks for.
  explicit InteropService(std::string id) : id_(std::move(id)) {}

  absl::Status EmptyCall(ServerContext& context, const pb::Empty& request, pb::Empty& reply) override;
  absl::Status UnaryCall(ServerContext& context, const pb::SimpleRequest& request, pb::SimpleResponse& reply) override;
  absl::Status StreamingOutputCall(ServerContext& context, const pb::StreamingOutputCallRequest& request,
                                   ServerWriter<pb::StreamingOutputCallResponse>& writer) override;
  absl::Status StreamingInputCall(ServerContext& context, ServerReader<pb::StreamingInputCallRequest>& reader,
                                  pb::StreamingInputCallResponse& reply) override;
  absl::Status FullDuplexCall(
      ServerContext& context,
      ServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) override;
  absl::Status HalfDuplexCall(
      ServerContext& context,
      ServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) override;

 private:
  const std::string id_;
};

}  // namespace nearcall::interop
