// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/intrusive_list.h"
#include "rpc/server/bells.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/lead.h"
#include "rpc/server/mailbox.h"
#include "rpc/server/server_core.h"
#include "rpc/server/turn.h"

namespace nearcall::rpc {

// How handlers that have begun go on: each waits in its poller's queue for a turn, and whoever leads is woken for that,
// and for a place that is free again while turns wait for one. Thread-safe.
class Resumptions final : public Places {
 public:
  // The leader reads, as long as this exists: the turns that come of it need neither mailbox nor waking.
  class Reading {
   public:
    explicit Reading(Resumptions& resumptions);
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    ~Reading();
  };

  Resumptions(ServerCore& core, Lead& lead, Bells& bells, Mailbox& mailbox)
      : core_(core), lead_(lead), bells_(bells), mailbox_(mailbox) {}

  // Places
  bool TakeAgain(const Request& request, HandlerPlace& place) override;
  void Queue(Turn& turn) override;

  // By the leader: the next turn of what it has read; nullptr: there are no more.
  Turn* NextRead() { return read_.PopFront(); }

  // By the leader: what is queued finds no place. Whoever gives one up from now on wakes it; one may have been given
  // just now.
  void WantPlace() { place_is_wanted_.store(true, std::memory_order_seq_cst); }
  // One has been found.
  void WantNoPlace() { place_is_wanted_.store(false, std::memory_order_relaxed); }
  // A handler has ended.
  void OnPlaceGiven();

  // There is something for the leader that it does not see by itself.
  void WakeLeader();
  // It is to look at a connection, as if its client had rung.
  void LookAt(uint32_t connection_id);

 private:
  ServerCore& core_;
  Lead& lead_;
  Bells& bells_;
  Mailbox& mailbox_;
  std::atomic<bool> place_is_wanted_{false};
  base::List<Turn, InLane> read_;  // the leader's
};

}  // namespace nearcall::rpc
