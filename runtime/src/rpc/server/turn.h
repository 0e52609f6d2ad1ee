// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/clock.h"
#include "base/intrusive_list.h"

namespace nearcall::rpc {

class IncomingCall;
struct InLane;  // a turn's place in the dispatch queue

// What waits in a poller's queue, in its call's lane, to go on once: with a place for its handler.
class Turn : public base::ListNode<InLane> {
 public:
  enum class Kind {
    kCall,       // a new call
    kPlace,      // a handler whose thread waits for its place
    kOperation,  // a handler that is suspended, of which no thread waits
  };

  Turn(Kind its_kind, IncomingCall& its_call) : kind(its_kind), call(its_call) {}

  // By a serving thread, for each time that it was queued.
  virtual void Run() = 0;

  const Kind kind;
  IncomingCall& call;
  base::SteadyNs queued_at = 0;  // since when it waits

 protected:
  ~Turn() = default;
};

}  // namespace nearcall::rpc
