// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nearcall/buffer.h"

namespace nearcall::grpc {

// Over gRPC a message's attachments are fields behind its own: `repeated bytes`, with the highest number that protobuf
// has. Who does not know them skips them, as any field that he does not know.
inline constexpr uint32_t kAttachmentField = 536870911;

// `message` and, behind it, `attachments`. Their bytes are not copied; gRPC holds them until it has sent them.
::grpc::ByteBuffer WithAttachments(const std::string& message, std::span<const Buffer> attachments);

// The attachments in `message`, which has them no more. What is no message of protobuf has none. RESOURCE_EXHAUSTED:
// there is no memory.
absl::Status TakeAttachments(std::string& message, std::vector<Buffer>& attachments);

}  // namespace nearcall::grpc
