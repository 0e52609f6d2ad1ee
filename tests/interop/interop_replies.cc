// SPDX-License-Identifier: Apache-2.0
#include "interop_replies.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace nearcall::interop {

absl::Status FillPayload(pb::PayloadType type, int32_t size, pb::Payload& payload) {
  if (type != pb::COMPRESSABLE) return absl::InvalidArgumentError(absl::StrCat("no such type of payload: ", type));
  if (size < 0) return absl::InvalidArgumentError(absl::StrCat("a payload of ", size, " B"));
  payload.set_type(type);
  payload.set_body(std::string(static_cast<size_t>(size), '\0'));
  return absl::OkStatus();
}

void EchoMetadata(ServerContext& context) {
  const Metadata& sent = context.client_metadata();
  if (const auto value = sent.Get(kEchoInitialKey)) context.initial_metadata().Add(kEchoInitialKey, *value);
  if (const auto value = sent.Get(kEchoTrailingKey)) context.trailing_metadata().Add(kEchoTrailingKey, *value);
}

}  // namespace nearcall::interop
