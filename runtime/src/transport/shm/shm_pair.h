// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "transport/transport_pair.h"

namespace nearcall::transport::shm {

// Both ends in this process, made as two processes make them: each with mappings of its own.
absl::StatusOr<TransportPair> MakeShmPair(size_t ring_size);

// The same, for a client that waits in epoll.
absl::StatusOr<TransportPair> MakeShmPairWithSocketBell(size_t ring_size);

// Both ends on the same addresses. ThreadSanitizer tells accesses apart by address, and sees no race between two
// mappings of one page.
absl::StatusOr<TransportPair> MakeShmPairOnOneMapping(size_t ring_size);

}  // namespace nearcall::transport::shm
