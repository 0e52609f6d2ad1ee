// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/channel.h"
#include "nearcall/internal/stream.h"
#include "rpc/client/client_interception.h"

namespace nearcall::rpc {

// A stream of an InterceptedChannel: another one, whose elements are counted, and whose end is told.
class InterceptedStream final : public internal::ClientStream {
 public:
  InterceptedStream(ClientInterception::All interceptors, const internal::MethodInfo& method,
                    const CallOptions& options)
      : interception_(std::move(interceptors), method, options) {}
  ~InterceptedStream() override;

  // Once, first.
  void Open(Channel& channel, const google::protobuf::MessageLite* request);

  // internal::ClientStream
  bool Read(google::protobuf::MessageLite& message) override;
  std::vector<UniqueFd> TakeDescriptors() override { return stream_->TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const override { return stream_->attachments(); }
  void Lend(std::span<const int> descriptors) override { stream_->Lend(descriptors); }
  void Attach(Buffer buffer) override { stream_->Attach(std::move(buffer)); }
  bool Write(const google::protobuf::MessageLite& message, bool last) override;
  bool WritesDone() override { return stream_->WritesDone(); }
  absl::Status Finish(google::protobuf::MessageLite* reply) override;
  void Cancel() override { stream_->Cancel(); }
  bool WaitForInitialMetadata() override { return stream_->WaitForInitialMetadata(); }
  const ResponseMetadata& metadata() const override { return stream_->metadata(); }

 private:
  ClientInterception interception_;
  std::unique_ptr<internal::ClientStream> stream_;
};

}  // namespace nearcall::rpc
