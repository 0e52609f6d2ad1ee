// SPDX-License-Identifier: Apache-2.0
#include "interop_service.h"

#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "interop_replies.h"

namespace nearcall::interop {

namespace {

// The replies that `request` asks for, each after its interval. They end where nobody waits any more.
template <typename Writer>
absl::Status WriteReplies(const pb::StreamingOutputCallRequest& request, Writer& writer) {
  pb::StreamingOutputCallResponse reply;
  for (const pb::ResponseParameters& parameters : request.response_parameters()) {
    absl::SleepFor(absl::Microseconds(parameters.interval_us()));
    absl::Status status = FillPayload(request.response_type(), parameters.size(), *reply.mutable_payload());
    if (!status.ok()) return status;
    if (!writer.Write(reply)) return absl::CancelledError("nobody waits");
  }
  return absl::OkStatus();
}

template <typename Writer>
absl::Status AnswerFirstIfAsked(const Metadata& sent, Writer& writer) {
  const std::optional<absl::string_view> text = sent.Get(kAnswerFirstKey);
  if (!text.has_value()) return absl::OkStatus();
  int32_t size = 0;
  if (!absl::SimpleAtoi(*text, &size)) return absl::InvalidArgumentError(kAnswerFirstKey);
  pb::StreamingOutputCallRequest request;
  request.add_response_parameters()->set_size(size);
  return WriteReplies(request, writer);
}

}  // namespace

absl::Status InteropService::EmptyCall(ServerContext&, const pb::Empty&, pb::Empty&) {
  return absl::OkStatus();
}

absl::Status InteropService::UnaryCall(ServerContext& context, const pb::SimpleRequest& request,
                                       pb::SimpleResponse& reply) {
  EchoMetadata(context);
  absl::Status asked = AskedStatus(request);
  if (!asked.ok()) return asked;
  if (request.fill_server_id()) reply.set_server_id(id_);
  return FillPayload(request.response_type(), request.response_size(), *reply.mutable_payload());
}

absl::Status InteropService::StreamingOutputCall(ServerContext&, const pb::StreamingOutputCallRequest& request,
                                                 ServerWriter<pb::StreamingOutputCallResponse>& writer) {
  return WriteReplies(request, writer);
}

absl::Status InteropService::StreamingInputCall(ServerContext&, ServerReader<pb::StreamingInputCallRequest>& reader,
                                                pb::StreamingInputCallResponse& reply) {
  size_t sum = 0;
  for (const pb::StreamingInputCallRequest& request : reader) sum += request.payload().body().size();
  reply.set_aggregated_payload_size(static_cast<int32_t>(sum));
  return absl::OkStatus();
}

absl::Status InteropService::FullDuplexCall(
    ServerContext& context,
    ServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) {
  EchoMetadata(context);
  absl::Status status = AnswerFirstIfAsked(context.client_metadata(), stream);
  pb::StreamingOutputCallRequest request;
  while (status.ok() && stream.Read(&request)) {
    status = AskedStatus(request);
    if (status.ok()) status = WriteReplies(request, stream);
  }
  return status;
}

absl::Status InteropService::HalfDuplexCall(
    ServerContext&, ServerReaderWriter<pb::StreamingOutputCallRequest, pb::StreamingOutputCallResponse>& stream) {
  std::vector<pb::StreamingOutputCallRequest> requests;
  for (const pb::StreamingOutputCallRequest& request : stream) requests.push_back(request);
  absl::Status status;
  for (const pb::StreamingOutputCallRequest& request : requests) {
    if (status.ok()) status = WriteReplies(request, stream);
  }
  return status;
}

}  // namespace nearcall::interop
