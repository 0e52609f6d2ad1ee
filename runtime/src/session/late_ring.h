// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/limits.h"
#include "session/waiting.h"

namespace nearcall::session {

// When a client that waits rings its server: when what it waits for is late, by what is usual in its lane. The client
// is the watchdog of a server whose reading thread is stuck in a handler: a standby thread is woken by the ring.
//
// Not once only: a ring that comes before the thread gets stuck says nothing. Twice as late each time, so that a call
// whose own handler is slow costs next to nothing.
//
// Thread-safe, each Waiting by its own thread.
class LateRing {
 public:
  // kNever: there is nothing to ring for.
  base::SteadyNs When(const Waiting& waiting) const;

  // Whether it is time to ring; the next time is later then.
  bool IsDue(Waiting& waiting, base::SteadyNs now) const;

  // What was waited for has come, or not, by `now`.
  void Learn(const Waiting& waiting, base::SteadyNs now);

 private:
  std::array<std::atomic<int64_t>, base::kLanes> usual_latency_ns_{};
};

}  // namespace nearcall::session
