// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/transport.h"
#include "transport/transport_table.h"

namespace nearcall::transport {

// Both ends of one connection in one process: tests, and clients of a server in their own process.
struct TransportPair {
  std::unique_ptr<Transport> client;
  std::unique_ptr<Transport> server;
};

// Both ends as two processes make them: the client's with descriptors of its own, as if they had been passed. `offer`
// may have failed.
using AttachEnd = absl::StatusOr<std::unique_ptr<Transport>>(std::vector<base::Fd>&& fds, const Geometry& geometry);
absl::StatusOr<TransportPair> MakePair(absl::StatusOr<std::unique_ptr<TransportOffer>> offer, AttachEnd* attach);

}  // namespace nearcall::transport
