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

}  // namespace nearcall::rpc
