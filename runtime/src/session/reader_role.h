// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/intrusive_list.h"
#include "session/waiting.h"
#include "transport/transport.h"

namespace nearcall::session {

// Who of those who wait reads for all. The others stand in a queue: each of them wakes when it is told, or when the
// role comes to it.
//
// A stand-in is no thread that waits: it has itself told by a Listener, and waits in the user's event queue, while it
// does not have the role. So whoever leaves the role to nobody tells it: what he was to be woken for, the stand-in is.
//
// Not synchronised: the session's lock guards it.
class ReaderRole {
 public:
  explicit ReaderRole(transport::Transport& transport) : transport_(transport) {}

  // True: `me` reads from now on. False: it stands in the queue.
  bool Take(Waiting& me);
  // The same, but without standing in the queue.
  bool TryTake(Waiting& me);
  // To the one who has waited longest, if `me` has it.
  void Leave(Waiting& me);

  // It looks whenever nobody reads.
  void SetStandIn(Waiting* waiting) { stand_in_ = waiting; }

  // He looks again, even if it is he who reads.
  void Tell(Waiting& waiting);

  // The same for who has been told otherwise (and may be gone).
  void InterruptIfReader(const Waiting* waiting);
  void InterruptReader();

 private:
  transport::Transport& transport_;
  Waiting* reader_ = nullptr;
  Waiting* stand_in_ = nullptr;
  base::List<Waiting, WaitsForRole> queue_;
};

}  // namespace nearcall::session
