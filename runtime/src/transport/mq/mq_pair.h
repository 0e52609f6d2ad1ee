// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "transport/mq/queue_size.h"
#include "transport/transport_pair.h"

namespace nearcall::transport::mq {

// Both ends in this process, made as two processes make them.
absl::StatusOr<TransportPair> MakeMqPair(const QueueSize& size);

}  // namespace nearcall::transport::mq
