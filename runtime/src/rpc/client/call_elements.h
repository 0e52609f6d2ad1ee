// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/buffer.h"
#include "nearcall/internal/method.h"
#include "nearcall/metadata.h"
#include "rpc/attachments.h"
#include "session/client_session.h"
#include "wire/header.h"

namespace nearcall::rpc {

// What is common to the elements of a call's streams, of every style. Constant; `method` outlives it.
class CallElements {
 public:
  CallElements(const internal::MethodInfo& method, Priority priority, size_t max_message_size)
      : method_(method), priority_(static_cast<uint8_t>(priority)), max_message_size_(max_message_size) {}

  wire::FrameHeader Header(uint64_t call_id) const;

  // What goes with one of `size` bytes over `session`, beside `descriptors`. As CallOptions::attachments.
  // RESOURCE_EXHAUSTED: one side does not take so much. Or it may not bring these.
  absl::StatusOr<Attached> Enclose(size_t size, std::span<const Buffer> buffers, std::span<const int> descriptors,
                                   const session::ClientSession& session) const;
  // The program has changed it while it was sent.
  absl::Status Changed() const;

  absl::Status Parse(std::span<const std::byte> bytes, google::protobuf::MessageLite& element) const;
  // The server's initial metadata, of what came with its first element.
  static absl::StatusOr<Metadata> ParseInitial(const std::string& envelope);

 private:
  absl::Status Check(size_t size, std::span<const int> descriptors, const session::ClientSession& session) const;

  const internal::MethodInfo& method_;
  const uint8_t priority_;
  const size_t max_message_size_;
};

}  // namespace nearcall::rpc
