// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/descriptors.h"
#include "base/fork.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/buffer.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/client_call.h"
#include "nearcall/unique_fd.h"
#include "rpc/client/open_call.h"
#include "rpc/client/open_stream_call.h"
#include "rpc/read_elements.h"

namespace nearcall::rpc {

// What the caller of an open call holds: what was taken of it and is not read, and how it has ended.
class HeldCall final : public internal::ClientCall {
 public:
  // Of a unary call.
  explicit HeldCall(std::shared_ptr<OpenCall> call) : HeldCall(std::move(call), nullptr) {}
  // Of one that streams.
  explicit HeldCall(const std::shared_ptr<OpenStreamCall>& stream) : HeldCall(stream, stream.get()) {}
  ~HeldCall() override;

  // internal::ClientCall
  internal::Tried TryRead(google::protobuf::MessageLite& element) override;
  std::vector<UniqueFd> TakeDescriptors() override { return mine_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const override { return mine_.attachments(); }
  void Lend(std::span<const int> descriptors) override { lent_ = descriptors; }
  void Attach(Buffer buffer) override { attach_.push_back(std::move(buffer)); }
  internal::Tried TryInitialMetadata() override;
  internal::Tried TryFinish(google::protobuf::MessageLite* reply, absl::Status& status) override;
  bool WhenReadable(internal::Operation& operation) override { return When(call_->reading(), operation); }
  internal::Tried TryWrite(const google::protobuf::MessageLite& element, bool last) override;
  bool WritesDone() override;
  bool WhenWritable(internal::Operation& operation) override { return When(stream_->writing(), operation); }
  void Withdraw(internal::Operation& operation) override;
  void Cancel() override;
  const ResponseMetadata& metadata() const override { return metadata_; }

 private:
  HeldCall(std::shared_ptr<OpenCall> call, OpenStreamCall* stream) : call_(std::move(call)), stream_(stream) {}

  bool InChild() const { return fork_guard_.InChild(); }
  bool When(Side& side, internal::Operation& operation);
  internal::Tried Look();
  absl::Status Read(google::protobuf::MessageLite& element);
  absl::Status TakeInitial();
  void Discard();
  absl::Status End(google::protobuf::MessageLite* reply);

  const base::ForkGuard fork_guard_;
  std::shared_ptr<OpenCall> call_;
  OpenStreamCall* const stream_;  // the same, if it streams

  // Who reads.
  OpenStreamCall::AttemptPtr open_;  // of which they are
  ReadElements mine_;
  std::optional<std::string> initial_envelope_;  // that has come, and was not decoded
  bool has_initial_ = false;
  ResponseMetadata metadata_;
  std::optional<absl::Status> status_;

  // Who writes.
  std::span<const int> lent_;   // for the next element
  std::vector<Buffer> attach_;  // likewise
};

}  // namespace nearcall::rpc
