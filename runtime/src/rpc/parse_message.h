// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message_lite.h"

namespace nearcall::rpc {

// Reads `message` out of a peer's bytes, and writes nothing to any log. INTERNAL: they are no such message; the text
// says what is wrong, and names the field where protobuf tells. `what`, `method`: "the request of", "package.S/M".
absl::Status ParseMessage(absl::string_view what, absl::string_view method, std::span<const std::byte> bytes,
                          google::protobuf::MessageLite& message);

// Makes all of `bytes` the content of a nearcall::Bytes, to which `message` belongs.
void TakeBytes(std::span<const std::byte> bytes, google::protobuf::MessageLite& message);

// The one or the other; `generic`: of MethodInfo.
inline absl::Status ReadMessage(absl::string_view what, absl::string_view method, bool generic,
                                std::span<const std::byte> bytes, google::protobuf::MessageLite& message) {
  if (!generic) return ParseMessage(what, method, bytes, message);
  TakeBytes(bytes, message);
  return absl::OkStatus();
}

}  // namespace nearcall::rpc
