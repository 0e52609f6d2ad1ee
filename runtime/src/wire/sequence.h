// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "base/limits.h"
#include "wire/header.h"

namespace nearcall::wire {

// The sequence rule: each lane of each direction of a connection counts its frames, 1, 2, 3, ... in wire order, and the
// receiver takes exactly the next number. (64 bits do not wrap in the life of a machine.)

// The sender's half. Not synchronised: numbers are given in the order of the wire, by whoever writes.
class SequenceCounter {
 public:
  explicit SequenceCounter(uint64_t first = 1) { next_.fill(first); }

  // The number of the lane's next frame. A frame that is not committed after all must not have taken one.
  uint64_t Next(int lane) { return next_[static_cast<size_t>(lane)]++; }
  uint64_t Peek(int lane) const { return next_[static_cast<size_t>(lane)]; }

 private:
  std::array<uint64_t, base::kLanes> next_;
};

// The receiver's half. Used by one thread at a time.
class SequenceChecker {
 public:
  explicit SequenceChecker(uint64_t first = 1) { expected_.fill(first); }

  // Takes a decoded frame. INTERNAL, with the lane and both numbers, if it is not the next one of its lane: a frame was
  // lost, repeated, or put in. The connection is then of no use.
  absl::Status Check(const FrameHeader& header) {
    if (header.sequence != expected_[header.priority]) return Violation(header, expected_[header.priority]);
    ++expected_[header.priority];
    return absl::OkStatus();
  }

 private:
  static absl::Status Violation(const FrameHeader& header, uint64_t expected);

  std::array<uint64_t, base::kLanes> expected_;
};

}  // namespace nearcall::wire
