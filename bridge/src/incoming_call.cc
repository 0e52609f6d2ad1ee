// SPDX-License-Identifier: Apache-2.0
#include "incoming_call.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace nearcall::grpc {

namespace {

// As text that metadata may hold.
std::string Printable(absl::string_view text) {
  return absl::CHexEscape(text.substr(0, 1024));
}

}  // namespace

CallOptions IncomingCall::Options() const {
  CallOptions options;
  if (const absl::Time deadline = FromGrpc(context_.deadline()); deadline != absl::InfiniteFuture()) {
    options.deadline = deadline;
  }
  options.stop_token = stop_.get_token();
  FromGrpc(context_.client_metadata(), options.metadata);
  options.metadata.Add(kPeerKey, Printable(context_.peer()));
  const auto certificates = context_.auth_context();
  if (certificates != nullptr && certificates->IsPeerAuthenticated()) {
    const auto names = certificates->GetPeerIdentity();
    options.metadata.Add(kPeerIdentityKey,
                         Printable(absl::StrJoin(names, ",", [](std::string* out, const ::grpc::string_ref& name) {
                           out->append(name.data(), name.size());
                         })));
  }
  return options;
}

Step& IncomingCall::Read() {
  read_.Prepare();
  StartRead(&received_);
  return read_;
}

Step& IncomingCall::SendMetadata(const Metadata& initial) {
  write_.Prepare();
  AddInitial(initial);
  StartSendInitialMetadata();
  return write_;
}

Step& IncomingCall::Write(const Bytes& message, std::span<const Buffer> attachments) {
  write_.Prepare();
  sent_ = ToGrpc(message, attachments);
  StartWrite(&sent_);
  return write_;
}

void IncomingCall::AddInitial(const Metadata& initial) {
  ToGrpc(initial,
         [this](const std::string& key, const std::string& value) { context_.AddInitialMetadata(key, value); });
}

void IncomingCall::AddTrailing(const Metadata& trailing) {
  ToGrpc(trailing,
         [this](const std::string& key, const std::string& value) { context_.AddTrailingMetadata(key, value); });
}

void IncomingCall::Reply(const Bytes& reply, std::span<const Buffer> attachments, const ResponseMetadata& metadata) {
  AddInitial(metadata.initial);
  sent_ = ToGrpc(reply, attachments);
  has_reply_ = true;
}

void IncomingCall::End(const absl::Status& status) {
  if (status.ok() && has_reply_) {
    StartWriteAndFinish(&sent_, {}, ::grpc::Status::OK);
  } else {
    Finish(ToGrpc(status));
  }
}

}  // namespace nearcall::grpc
