// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <utility>

#include "base/clock.h"
#include "rpc/client/async_call.h"

namespace nearcall::rpc {

// When asynchronous calls are to end at the latest. Calls without a deadline are not here.
//
// Not synchronised: the lock of the AsyncCalls guards it.
class Deadlines {
 public:
  // False: it was here. bad_alloc.
  bool Note(AsyncCall& call) { return call.deadline != base::kNever && calls_.emplace(call.deadline, &call).second; }
  // Nothing, if it is not here.
  void Forget(AsyncCall& call) {
    if (call.deadline != base::kNever) calls_.erase({call.deadline, &call});
  }

  // kNever: there is none.
  base::SteadyNs first() const { return calls_.empty() ? base::kNever : calls_.begin()->first; }
  // Takes out a call whose time is up. nullptr: there is none.
  AsyncCall* PopOverdue(base::SteadyNs now) {
    if (first() > now) return nullptr;
    return calls_.extract(calls_.begin()).value().second;
  }

 private:
  std::set<std::pair<base::SteadyNs, AsyncCall*>> calls_;
};

}  // namespace nearcall::rpc
