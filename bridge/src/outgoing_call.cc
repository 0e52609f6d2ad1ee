// SPDX-License-Identifier: Apache-2.0
#include "outgoing_call.h"

#include "absl/strings/str_cat.h"

namespace nearcall::grpc {

OutgoingCall::OutgoingCall(const ServerContext& from) {
  if (const auto deadline = ToGrpc(from.deadline()); deadline.has_value()) context_.set_deadline(*deadline);
  ToGrpc(from.client_metadata(),
         [this](const std::string& key, const std::string& value) { context_.AddMetadata(key, value); });
  context_.set_wait_for_ready(from.client_metadata().Get(kWaitForReadyKey).has_value());
}

void OutgoingCall::Begin(::grpc::GenericStub& stub, const std::string& method) {
  stub.PrepareBidiStreamingCall(&context_, absl::StrCat("/", method), {}, this);
  AddHold();  // until End(): messages are not begun within gRPC's callbacks alone
  StartCall();
}

Step& OutgoingCall::Read() {
  read_.Prepare();
  StartRead(&received_);
  return read_;
}

Step& OutgoingCall::Write(const Bytes& message, std::span<const Buffer> attachments, bool last) {
  write_.Prepare();
  sent_ = ToGrpc(message, attachments);
  StartWrite(&sent_, last ? ::grpc::WriteOptions().set_last_message() : ::grpc::WriteOptions());
  return write_;
}

Step& OutgoingCall::WritesDone() {
  write_.Prepare();
  StartWritesDone();
  return write_;
}

Step& OutgoingCall::End() {
  RemoveHold();
  return end_;
}

void OutgoingCall::OnDone(const ::grpc::Status& status) {
  status_ = status;
  end_.End(status.ok());
}

}  // namespace nearcall::grpc
