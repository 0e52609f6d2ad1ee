// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/generic_stream.h"

#include <utility>

#include "base/fd.h"
#include "nearcall/bytes.pb.h"

namespace nearcall::rpc {

using internal::MethodKind;
using internal::Tried;

static_assert(static_cast<int>(CallKind::kUnary) == static_cast<int>(MethodKind::kUnary) &&
              static_cast<int>(CallKind::kClientStreaming) == static_cast<int>(MethodKind::kClientStreaming) &&
              static_cast<int>(CallKind::kServerStreaming) == static_cast<int>(MethodKind::kServerStreaming) &&
              static_cast<int>(CallKind::kBidiStreaming) == static_cast<int>(MethodKind::kBidiStreaming) &&
              static_cast<int>(CallKind::kOneWay) == static_cast<int>(MethodKind::kOneWay));

GenericStream::GenericStream(internal::ServerCall& call)
    : kind_(call.kind()),
      stream_(ClientStreams(kind_) || ServerStreams(kind_) ? &call.stream() : nullptr),
      context_(call.context()),
      has_request_(!ClientStreams(kind_)) {}

absl::Status GenericStream::NoReply() {
  return absl::InternalError("the handler has ended with OK and has written no reply");
}

bool GenericStream::TakeRequest(google::protobuf::MessageLite& message) {
  if (!std::exchange(has_request_, false)) {
    message.Clear();
    return false;
  }
  static_cast<wire::Bytes&>(message).mutable_unknown_fields()->swap(request_.str());
  return true;
}

bool GenericStream::PutReply(const google::protobuf::MessageLite& message) {
  if (std::exchange(has_reply_, true) || kind_ == MethodKind::kOneWay) return false;
  reply_.str() = static_cast<const wire::Bytes&>(message).unknown_fields();
  // What cannot be had again is none, which the end of the call tells.
  for (const int fd : std::exchange(lent_, {})) {
    context_.reply_descriptors().emplace_back(base::Duplicate(fd).Release());
  }
  return true;
}

bool GenericStream::Read(google::protobuf::MessageLite& message) {
  return ClientStreams(kind_) ? stream_->Read(message) : TakeRequest(message);
}

bool GenericStream::Write(const google::protobuf::MessageLite& message) {
  return ServerStreams(kind_) ? stream_->Write(message) : PutReply(message);
}

// Those of the request are the context's.
std::vector<UniqueFd> GenericStream::TakeDescriptors() {
  return ClientStreams(kind_) ? stream_->TakeDescriptors() : context_.TakeDescriptors();
}

const std::vector<Buffer>& GenericStream::attachments() const {
  return ClientStreams(kind_) ? stream_->attachments() : context_.attachments();
}

void GenericStream::Attach(Buffer buffer) {
  if (ServerStreams(kind_)) return stream_->Attach(std::move(buffer));
  context_.reply_attachments().push_back(std::move(buffer));
}

void GenericStream::Lend(std::span<const int> descriptors) {
  if (ServerStreams(kind_)) return stream_->Lend(descriptors);
  lent_ = descriptors;
}

Tried GenericStream::TryRead(google::protobuf::MessageLite& message) {
  if (ClientStreams(kind_)) return stream_->TryRead(message);
  return TakeRequest(message) ? Tried::kDone : Tried::kOver;
}

Tried GenericStream::TryWrite(const google::protobuf::MessageLite& message) {
  if (ServerStreams(kind_)) return stream_->TryWrite(message);
  return PutReply(message) ? Tried::kDone : Tried::kOver;
}

// What is here already is never waited for.
bool GenericStream::WhenReadable(internal::Operation& operation) {
  return stream_ != nullptr && stream_->WhenReadable(operation);
}

bool GenericStream::WhenWritable(internal::Operation& operation) {
  return stream_ != nullptr && stream_->WhenWritable(operation);
}

void GenericStream::Withdraw(internal::Operation& operation) {
  if (stream_ != nullptr) stream_->Withdraw(operation);
}

}  // namespace nearcall::rpc
