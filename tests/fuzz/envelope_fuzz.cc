// SPDX-License-Identifier: Apache-2.0

// What stands before a payload: metadata, status text and details of any bytes. What is let through obeys the rules of
// what may be sent, and comes back the same.
#include <vector>

#include "base/check.h"
#include "fuzz/fuzz_input.h"
#include "wire/envelope.h"

namespace nearcall::fuzz {

void Run(Input input) {
  const auto code = static_cast<absl::StatusCode>(input.Take<uint8_t>() % 17);
  const std::span<const std::byte> rest = input.TakeBytes(size_t{1} << 20);
  const std::vector<std::byte> bytes(rest.begin(), rest.end());
  if (const auto metadata = wire::DecodeMetadataEnvelope(bytes); metadata.ok()) {
    NEARCALL_CHECK(metadata->Validate().ok());
    const auto encoded = wire::EncodeMetadataEnvelope(*metadata);
    NEARCALL_CHECK(encoded.ok());
    const auto again = wire::DecodeMetadataEnvelope(std::as_bytes(std::span(*encoded)));
    NEARCALL_CHECK(again.ok() && again->size() == metadata->size());
  }
  if (const auto reply = wire::DecodeReplyEnvelope(code, bytes); reply.ok()) {
    NEARCALL_CHECK(reply->initial.Validate().ok() && reply->trailing.Validate().ok());
    NEARCALL_CHECK(wire::EncodeReplyEnvelope(*reply).ok());
  }
}

}  // namespace nearcall::fuzz
