// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "transport/transport_pair.h"

namespace nearcall::transport::fifo {

// Both ends in this process, made as two processes make them, in a directory below /tmp that is gone by then.
absl::StatusOr<TransportPair> MakeFifoPair();

}  // namespace nearcall::transport::fifo
