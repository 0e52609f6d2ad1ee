// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "nearcall/bytes.h"
#include "nearcall/generic.h"
#include "nearcall/internal/stream.h"
#include "nearcall/service.h"

namespace nearcall::rpc {

// Any call, as if both sides streamed: the one request of those whose client does not stream is the first element, the
// one reply of those whose server does not is the last. Lives as long as the handler.
class GenericStream final : public internal::ServerStream {
 public:
  explicit GenericStream(internal::ServerCall& call);

  CallKind kind() const { return static_cast<CallKind>(kind_); }

  // False: there is nothing to run; the call has been answered.
  bool Begin(internal::ServerCall& call) { return ClientStreams(kind_) || call.ParseRequest(request_); }
  // `call`: a ServerCall or a PendingAnswer.
  void Answer(auto& call, const absl::Status& status) {
    if (ServerStreams(kind_) || kind_ == internal::MethodKind::kOneWay) return call.FinishStream(status);
    call.Finish(status.ok() && !has_reply_ ? NoReply() : status, reply_);
  }

  // internal::ServerStream
  bool Read(google::protobuf::MessageLite& message) override;
  bool Write(const google::protobuf::MessageLite& message) override;
  std::vector<UniqueFd> TakeDescriptors() override;
  const std::vector<Buffer>& attachments() const override;
  void Lend(std::span<const int> descriptors) override;
  void Attach(Buffer buffer) override;
  internal::Tried TryRead(google::protobuf::MessageLite& message) override;
  internal::Tried TryWrite(const google::protobuf::MessageLite& message) override;
  bool WhenReadable(internal::Operation& operation) override;
  bool WhenWritable(internal::Operation& operation) override;
  void Withdraw(internal::Operation& operation) override;
  void TellNews() override {
    if (stream_ != nullptr) stream_->TellNews();
  }
  internal::Tried TryNews() override { return stream_ == nullptr ? internal::Tried::kOver : stream_->TryNews(); }
  bool WaitForNews() override { return stream_ != nullptr && stream_->WaitForNews(); }
  bool WhenNews(internal::Operation& operation) override { return stream_ != nullptr && stream_->WhenNews(operation); }

 private:
  static absl::Status NoReply();
  bool TakeRequest(google::protobuf::MessageLite& message);
  bool PutReply(const google::protobuf::MessageLite& message);

  const internal::MethodKind kind_;
  internal::ServerStream* const stream_;  // null, if neither side streams
  ServerContext& context_;
  Bytes request_;
  Bytes reply_;
  bool has_request_;
  bool has_reply_ = false;
  std::span<const int> lent_;  // for the reply
};

}  // namespace nearcall::rpc
