// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace nearcall::transport::fifo {

// The messages of the handshake stand in the FIFOs as frames do, each behind its length. What comes behind the one that
// is read stays there. Used by one thread at a time.
class HelloReader {
 public:
  // nullopt: it is not there yet, or not whole. UNAVAILABLE: the peer has gone. INTERNAL: a size that none has.
  absl::StatusOr<std::optional<std::vector<std::byte>>> Next(const base::Fd& fifo);

 private:
  std::vector<std::byte> bytes_;  // of the length, then of the message too
};

// Whole, or not at all: UNAVAILABLE if there is no room, as there is in a new FIFO.
absl::Status WriteHello(const base::Fd& fifo, std::span<const std::byte> bytes);

}  // namespace nearcall::transport::fifo
