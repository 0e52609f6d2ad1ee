// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/intercepted_stream.h"

#include "base/thread.h"

namespace nearcall::rpc {

void InterceptedStream::Open(Channel& channel, const google::protobuf::MessageLite* request) {
  interception_.Start().IgnoreError();
  stream_ = channel.OpenStream(interception_.method(), request, interception_.options());
}

InterceptedStream::~InterceptedStream() {
  const base::CancelDisabled uncancelled;
  if (interception_.ended() || stream_ == nullptr) return;
  stream_->Cancel();
  interception_.End(stream_->Finish(nullptr), stream_->metadata());
}

bool InterceptedStream::Read(google::protobuf::MessageLite& message) {
  if (!stream_->Read(message)) return false;
  interception_.Received();
  return true;
}

bool InterceptedStream::Write(const google::protobuf::MessageLite& message, bool last) {
  if (!stream_->Write(message, last)) return false;
  interception_.Sent();
  return true;
}

absl::Status InterceptedStream::Finish(google::protobuf::MessageLite* reply) {
  const base::CancelDisabled uncancelled;
  absl::Status status = stream_->Finish(reply);
  if (!interception_.refusal().ok()) return interception_.refusal();
  interception_.End(status, stream_->metadata());
  return status;
}

}  // namespace nearcall::rpc
