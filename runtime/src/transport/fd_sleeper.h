// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "transport/transport.h"

namespace nearcall::transport {

// For poll(2): those of `fds` that tell of what `interest` (a set of Transport::Interest) names. It passes over the
// others.
std::array<pollfd, 2> PollItems(const Transport::WaitFds& fds, uint32_t interest);

// How the one thread of a client's end sleeps where the kernel tells what is new: until a descriptor is ready.
//
// Wait() by one thread at a time, Interrupt() by any thread.
class FdSleeper {
 public:
  // RESOURCE_EXHAUSTED without a descriptor for it.
  static absl::StatusOr<std::unique_ptr<FdSleeper>> Create();

  // Returns when one of `fds` tells of what `interest` names, when interrupted, or at `until`.
  void Wait(const Transport::WaitFds& fds, uint32_t interest, base::SteadyNs until);

  // Ends the present or the next Wait().
  void Interrupt();

 private:
  explicit FdSleeper(base::Fd interrupt) : interrupt_(std::move(interrupt)) {}

  const base::Fd interrupt_;  // a doorbell
  std::atomic<bool> interrupted_{false};
};

}  // namespace nearcall::transport
