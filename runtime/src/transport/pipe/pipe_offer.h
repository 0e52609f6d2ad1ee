// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/transport.h"
#include "transport/transport_table.h"

namespace nearcall::transport::pipe {

// The server's side: two pipes, of which the client is passed the end that it writes and the end that it reads.
// FAILED_PRECONDITION without /proc, RESOURCE_EXHAUSTED without descriptors.
absl::StatusOr<std::unique_ptr<TransportOffer>> OfferPipe(const TransportConfig& config);

// The client's side: takes what OfferPipe() passes.
absl::StatusOr<std::unique_ptr<Transport>> AttachPipe(std::vector<base::Fd>&& fds, const Geometry& geometry);

}  // namespace nearcall::transport::pipe
