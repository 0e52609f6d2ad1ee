// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace nearcall::transport {

// An eventfd(2) that wakes who waits for it: closed by exec, never blocks. RESOURCE_EXHAUSTED without a descriptor for
// it.
absl::StatusOr<base::Fd> CreateDoorbell();

}  // namespace nearcall::transport
