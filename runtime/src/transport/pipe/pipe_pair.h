// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "transport/transport_pair.h"

namespace nearcall::transport::pipe {

// Both ends in this process, made as two processes make them.
absl::StatusOr<TransportPair> MakePipePair();

// The same with pipes of another size than the kernel's default; a page is the least.
absl::StatusOr<TransportPair> MakePipePair(size_t pipe_size);

}  // namespace nearcall::transport::pipe
