// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "transport/transport_pair.h"

namespace nearcall::transport {

struct LoopbackConfig {
  size_t capacity_bytes = 4096;       // of frames in each direction
  size_t max_frame_size = 1024;       // at most the capacity
  bool server_waits_in_epoll = true;  // else in Wait(), like the client
};

// A connection within one process, through queues under a lock: what the contract says and nothing clever. For tests of
// what is above; never chosen by an address.
absl::StatusOr<TransportPair> MakeLoopbackPair(const LoopbackConfig& config = {});

}  // namespace nearcall::transport
