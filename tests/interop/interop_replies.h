// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "interop_service.h"

// What requests ask of the services of every style.
namespace nearcall::interop {

absl::Status FillPayload(pb::PayloadType type, int32_t size, pb::Payload& payload);

void EchoMetadata(ServerContext& context);

// The status that the request asks for.
template <typename Request>
absl::Status AskedStatus(const Request& request) {
  const pb::EchoStatus& status = request.response_status();
  return absl::Status(static_cast<absl::StatusCode>(status.code()), status.message());
}

}  // namespace nearcall::interop
