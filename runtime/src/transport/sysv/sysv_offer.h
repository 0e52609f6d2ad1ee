// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "nearcall/server_context.h"
#include "transport/transport_table.h"

namespace nearcall::transport::sysv {

// The server's side: makes both queues, for its own user and that of `client`. The geometry is {the queue to the
// server, the queue to the client, the largest frame, the IPC namespace}; passed are the bells of the two, in this
// order. Errors as CreateQueue(), Journal::Create() and ChooseFrameSize().
absl::StatusOr<std::unique_ptr<TransportOffer>> OfferSysv(const TransportConfig& config, const PeerIdentity& client);

// The client's side: takes what OfferSysv() gives.
absl::StatusOr<std::unique_ptr<Transport>> AttachSysv(std::vector<base::Fd>&& fds, const Geometry& geometry,
                                                      const PeerIdentity& server);

// What killed servers of this user have left.
void SweepSysv();

}  // namespace nearcall::transport::sysv
