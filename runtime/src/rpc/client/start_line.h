// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "base/intrusive_list.h"
#include "base/limits.h"
#include "rpc/client/async_call.h"

namespace nearcall::rpc {

// The asynchronous calls that wait for a connection, or for a place in flight, by lanes.
//
// Not synchronised: the lock of the AsyncCalls guards it.
class StartLine {
 public:
  void Enter(AsyncCall& call);
  // Nothing, if it does not stand here.
  void Leave(AsyncCall& call);

  // Who is next; nullptr: nobody waits.
  AsyncCall* First();
  bool empty() { return First() == nullptr; }

  // What those that wait cost, and what `call` would.
  size_t bytes() const { return bytes_; }
  static size_t CostOf(const AsyncCall& call);

  // Whether each of them waits for a server to appear.
  bool AllWaitForReady();

  // `visit` may take out the call that it is given.
  template <typename Visit>
  void ForEach(Visit&& visit) {
    for (Lane& lane : lanes_) {
      lane.ForEachUntil([&](AsyncCall& call) {
        visit(call);
        return false;
      });
    }
  }

 private:
  using Lane = base::List<AsyncCall>;

  std::array<Lane, base::kLanes> lanes_;
  size_t bytes_ = 0;
};

}  // namespace nearcall::rpc
