// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "rpc/server/bells.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/lead.h"
#include "rpc/server/mailbox.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

// How handlers that have begun go on: each waits in its poller's queue for a turn, and whoever leads is woken for that,
// and for a place that is free again while turns wait for one. Thread-safe.
class Resumptions final : public Places {
 public:
  Resumptions(ServerCore& core, Lead& lead, Bells& bells, Mailbox& mailbox)
      : core_(core), lead_(lead), bells_(bells), mailbox_(mailbox) {}

  // Places
  bool TakeAgain(const Request& request, HandlerPlace& place) override;
  void Queue(Turn& turn) override;

  // By the leader: what is queued finds no place. Whoever gives one up from now on wakes it; one may have been given
  // just now.
  void WantPlace() { place_is_wanted_.store(true, std::memory_order_seq_cst); }
  // One has been found.
  void WantNoPlace() { place_is_wanted_.store(false, std::memory_order_relaxed); }
  // A handler has ended.
  void OnPlaceGiven();

  // There is something for the leader that it does not see by itself.
  void WakeLeader();

 private:
  ServerCore& core_;
  Lead& lead_;
  Bells& bells_;
  Mailbox& mailbox_;
  std::atomic<bool> place_is_wanted_{false};
};

}  // namespace nearcall::rpc
