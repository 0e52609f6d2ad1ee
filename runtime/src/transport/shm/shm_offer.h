// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/transport_table.h"

namespace nearcall::transport::shm {

// The server's side: makes both regions and the bells. Passes region C, region S and the server's bell, in this order;
// the geometry is {ring size, 0, 0, 0}. INVALID_ARGUMENT for a ring size that cannot be, RESOURCE_EXHAUSTED without
// memory.
absl::StatusOr<std::unique_ptr<TransportOffer>> OfferShm(const TransportConfig& config);

// The client's side: takes what OfferShm() passes.
absl::StatusOr<std::unique_ptr<Transport>> AttachShm(std::vector<base::Fd>&& fds, const Geometry& geometry);

}  // namespace nearcall::transport::shm
