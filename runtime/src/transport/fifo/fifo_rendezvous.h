// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "transport/rendezvous.h"

namespace nearcall::transport::fifo {

// Where servers and clients meet, without a socket: two FIFOs under a name or path (fifo_pair.h).

// Listener::Bind(). There is no successor here: a name that a live server has is ALREADY_EXISTS.
absl::StatusOr<std::unique_ptr<Listener>> ListenAtFifo(const Address& address, const SocketAccess& access);

// Dial::Start().
std::unique_ptr<Dial> DialFifo(Address address, ConnectParams params);

// What killed servers of this user have left in the directory of names.
void SweepNames();

}  // namespace nearcall::transport::fifo
