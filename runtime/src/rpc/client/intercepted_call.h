// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/channel.h"
#include "nearcall/internal/client_call.h"
#include "rpc/client/client_interception.h"

namespace nearcall::rpc {

// A call of an InterceptedChannel of which no thread waits: another one, whose elements are counted, and whose end is
// told.
class InterceptedCall final : public internal::ClientCall {
 public:
  InterceptedCall(ClientInterception::All interceptors, const internal::MethodInfo& method, const CallOptions& options)
      : interception_(std::move(interceptors), method, options) {}

  // Once, first.
  void Begin(Channel& channel, const google::protobuf::MessageLite* request);

  // internal::ClientCall
  internal::Tried TryRead(google::protobuf::MessageLite& element) override;
  std::vector<UniqueFd> TakeDescriptors() override { return call_->TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const override { return call_->attachments(); }
  internal::Tried TryInitialMetadata() override { return call_->TryInitialMetadata(); }
  internal::Tried TryFinish(google::protobuf::MessageLite* reply, absl::Status& status) override;
  bool WhenReadable(internal::Operation& operation) override { return call_->WhenReadable(operation); }
  internal::Tried TryWrite(const google::protobuf::MessageLite& element, bool last) override;
  void Lend(std::span<const int> descriptors) override { call_->Lend(descriptors); }
  void Attach(Buffer buffer) override { call_->Attach(std::move(buffer)); }
  bool WritesDone() override { return call_->WritesDone(); }
  bool WhenWritable(internal::Operation& operation) override { return call_->WhenWritable(operation); }
  void Withdraw(internal::Operation& operation) override { call_->Withdraw(operation); }
  void Cancel() override { call_->Cancel(); }
  const ResponseMetadata& metadata() const override { return call_->metadata(); }

 private:
  ClientInterception interception_;
  std::unique_ptr<internal::ClientCall> call_;  // given up before its end is told
};

}  // namespace nearcall::rpc
