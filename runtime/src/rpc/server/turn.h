// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/clock.h"
#include "base/intrusive_list.h"

namespace nearcall::rpc {

class IncomingCall;
struct InLane;  // a turn's place in the dispatch queue

// What waits in a poller's queue, in its call's lane, to go on once: with a place for its handler.
struct Turn : base::ListNode<InLane> {
  enum class Kind {
    kCall,   // a new call
    kPlace,  // a handler whose thread waits for its place
  };

  Turn(Kind its_kind, IncomingCall& its_call) : kind(its_kind), call(its_call) {}

  const Kind kind;
  IncomingCall& call;
  base::SteadyNs queued_at = 0;  // since when it waits
};

}  // namespace nearcall::rpc
