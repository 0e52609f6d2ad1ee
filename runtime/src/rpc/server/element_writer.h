// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/buffer.h"
#include "nearcall/internal/stream.h"
#include "rpc/attachments.h"
#include "rpc/server/served_stream.h"
#include "session/outgoing.h"
#include "wire/header.h"

namespace nearcall::rpc {

// Writes the elements that a handler sends in its call's stream. By one thread at a time. Never blocks.
class ElementWriter {
 public:
  explicit ElementWriter(const ServedStream& stream) : stream_(stream) {}

  // The call's messages leave in order, the answer too.
  session::Flow& flow() { return flow_; }

  // kNotYet: there is no credit. kOver: the stream is over, or has failed.
  internal::Tried Write(const google::protobuf::MessageLite& message);
  // For the next elements.
  void Lend(std::span<const int> descriptors) { lent_ = descriptors; }
  void Attach(Buffer buffer) { attach_.push_back(std::move(buffer)); }
  void DropAttachments() { attach_.clear(); }

  // With the next message, or alone. False: the stream has failed.
  bool SendInitialMetadata();
  bool sent_initial_metadata() const { return sent_initial_metadata_; }

 private:
  internal::Tried WriteNext(const google::protobuf::MessageLite& message);
  absl::Status CheckElement(size_t size, std::span<const int> descriptors) const;
  absl::StatusOr<std::string> InitialEnvelope() const;
  bool FailBy(const absl::Status& metadata);
  bool Send(const wire::FrameHeader& header, const std::string& envelope, const google::protobuf::MessageLite* message,
            size_t size, std::span<const int> descriptors, const Attached* attached);

  const ServedStream& stream_;
  session::Flow flow_;
  bool sent_initial_metadata_ = false;
  std::span<const int> lent_;
  std::vector<Buffer> attach_;
};

}  // namespace nearcall::rpc
