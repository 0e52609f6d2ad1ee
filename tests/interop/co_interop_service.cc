// SPDX-License-Identifier: Apache-2.0
#include "co_interop_service.h"

#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "interop_replies.h"

namespace nearcall::interop {

namespace {

// The replies that `request` asks for; the cases of coroutines ask for no intervals. They end where nobody waits.
template <typename Writer>
Task<absl::Status> WriteReplies(const pb::StreamingOutputCallRequest& request, Writer& writer) {
  pb::StreamingOutputCallResponse reply;
  for (const pb::ResponseParameters& parameters : request.response_parameters()) {
    absl::Status status = FillPayload(request.response_type(), parameters.size(), *reply.mutable_payload());
    if (!status.ok()) co_return status;
    if (!co_await writer.Write(reply)) co_return absl::CancelledError("nobody waits");
  }
  co_return absl::OkStatus();
}

template <typename Writer>
Task<absl::Status> AnswerFirstIfAsked(const Metadata& sent, Writer& writer) {
  const std::optional<absl::string_view> text = sent.Get(kAnswerFirstKey);
  if (!text.has_value()) co_return absl::OkStatus();
  int32_t size = 0;
  if (!absl::SimpleAtoi(*text, &size)) co_return absl::InvalidArgumentError(kAnswerFirstKey);
  pb::StreamingOutputCallRequest request;
  request.add_response_parameters()->set_size(size);
  co_return co_await WriteReplies(request, writer);
}

}  // namespace

Task<absl::Status> CoInteropService::EmptyCall(ServerContext&, const pb::Empty&, pb::Empty&) {
  co_return absl::OkStatus();
}

Task<absl::Status> CoInteropService::UnaryCall(ServerContext& context, const pb::SimpleRequest& request,
                                               pb::SimpleResponse& reply) {
  EchoMetadata(context);
  absl::Status asked = AskedStatus(request);
  if (!asked.ok()) co_return asked;
  if (request.fill_server_id()) reply.set_server_id(id_);
  co_return FillPayload(request.response_type(), request.response_size(), *reply.mutable_payload());
}

Task<absl::Status> CoInteropService::StreamingOutputCall(ServerContext&, const pb::StreamingOutputCallRequest& request,
                                                         CoServerWriter<pb::StreamingOutputCallResponse>& writer) {
  co_return co_await WriteReplies(request, writer);
}

Task<absl::Status> CoInteropService::StreamingInputCall(ServerContext&,
                                                        CoServerReader<pb::StreamingInputCallRequest>& reader,
                                                        pb::StreamingInputCallResponse& reply) {
  size_t sum = 0;
  while (const auto request = co_await reader.Read()) sum += request->payload().body().size();
  reply.set_aggregated_payload_size(static_cast<int32_t>(sum));
  co_return absl::OkStatus();
}

Task<absl::Status> CoInteropService::FullDuplexCall(
    ServerContext& context,
    CoServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) {
  EchoMetadata(context);
  absl::Status status = co_await AnswerFirstIfAsked(context.client_metadata(), stream);
  pb::StreamingOutputCallRequest request;
  while (status.ok()) {
    if (!co_await stream.Read(&request)) break;
    status = AskedStatus(request);
    if (status.ok()) status = co_await WriteReplies(request, stream);
  }
  co_return status;
}

Task<absl::Status> CoInteropService::HalfDuplexCall(
    ServerContext&, CoServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) {
  std::vector<pb::StreamingOutputCallRequest> requests;
  while (auto request = co_await stream.Read()) requests.push_back(*std::move(request));
  absl::Status status;
  for (const pb::StreamingOutputCallRequest& request : requests) {
    if (status.ok()) status = co_await WriteReplies(request, stream);
  }
  co_return status;
}

}  // namespace nearcall::interop
