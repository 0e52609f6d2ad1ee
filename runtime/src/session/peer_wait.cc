// SPDX-License-Identifier: Apache-2.0
#include "session/peer_wait.h"

#include <algorithm>

#include "base/blocking.h"
#include "base/limits.h"

namespace nearcall::session {

void PeerWait::Sleep(size_t room, base::SteadyNs until, absl::FunctionRef<bool()> is_over) {
  const uint32_t interest = transport::Transport::kFrames | (room != 0 ? transport::Transport::kRoom : 0u);
  if (transport_.Arm(interest, room)) return;
  base::BlockingObserver::AboutToBlock();
  const base::SteadyNs slice_end = base::AddNs(base::NowNs(), base::kBusyWaitSliceNs);
  if (!is_over()) transport_.Wait(std::min(until, slice_end));
  transport_.Disarm();
}

}  // namespace nearcall::session
