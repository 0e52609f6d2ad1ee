// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "transport/transport_pair.h"

namespace nearcall::transport::sysv {

// Both ends in this process, made as two processes make them.
absl::StatusOr<TransportPair> MakeSysvPair();

// AttachSysv() to an offer of this very process.
AttachEnd AttachOwn;

}  // namespace nearcall::transport::sysv
