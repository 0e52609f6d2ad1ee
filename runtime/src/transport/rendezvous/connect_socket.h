// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "transport/address.h"

namespace nearcall::transport {

// A socket connected to whoever listens at `address` (who that is has still to be found out). UNAVAILABLE at once if
// nobody does, naming each place looked at; DEADLINE_EXCEEDED if the server's backlog stayed full.
//
// kDoNotWait: DEADLINE_EXCEEDED at once, if the backlog is full.
inline constexpr base::SteadyNs kDoNotWait = 0;
absl::StatusOr<base::Fd> ConnectSocket(const Address& address, base::SteadyNs deadline);

}  // namespace nearcall::transport
