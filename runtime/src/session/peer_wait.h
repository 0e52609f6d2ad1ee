// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "base/clock.h"
#include "base/spin_policy.h"
#include "base/yield.h"
#include "transport/transport.h"

namespace nearcall::session {

// How the reader waits for its peer: it looks for a while, as long as that can help, and then asks to be woken and
// sleeps. Used by one thread at a time.
class PeerWait {
 public:
  // `max_spin_ns` 0: never looks longer than once.
  PeerWait(transport::Transport& transport, int64_t max_spin_ns) : transport_(transport), spin_(max_spin_ns) {}

  // Looks until `look` is true, or it is better to sleep: false. Spins while the peer is awake on another CPU. A peer
  // that is just being woken may have been put on this very CPU, and gets it.
  template <typename Look>
  bool Spin(Look&& look) {
    if (spin_.max_spin_ns() == 0 || !transport_.can_spin()) return false;
    if (transport_.peer_cpu() < 0) {
      base::YieldUntil([&] { return transport_.peer_cpu() >= 0 || look(); }, spin_.max_spin_ns());
    }
    const int peer = transport_.peer_cpu();
    return peer >= 0 && peer != ::sched_getcpu() ? spin_.Spin(look) : look();
  }

  // Sleeps until a frame comes, or (room != 0) there is room for one of that size, or somebody interrupts, or `until`;
  // and not longer than a slice. `is_over` is what the interrupts may tell: it is asked once they are heard.
  void Sleep(size_t room, base::SteadyNs until, absl::FunctionRef<bool()> is_over);

 private:
  transport::Transport& transport_;
  base::SpinPolicy spin_;
};

}  // namespace nearcall::session
