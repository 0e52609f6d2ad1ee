// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/start_line.h"

#include <utility>

namespace nearcall::rpc {

// Beside its request too.
size_t StartLine::CostOf(const AsyncCall& call) {
  return call.request().size() + sizeof(AsyncCall);
}

void StartLine::Enter(AsyncCall& call) {
  call.queued = true;
  lanes_[call.lane].PushBack(call);
  call.cost_in_line = CostOf(call);
  bytes_ += call.cost_in_line;
}

void StartLine::Leave(AsyncCall& call) {
  if (!std::exchange(call.queued, false)) return;
  base::ListNode<AsyncCall>& place = call;
  place.Unlink();
  bytes_ -= call.cost_in_line;  // (its size may be another one by now)
}

AsyncCall* StartLine::First() {
  for (size_t i = lanes_.size(); i-- > 0;) {
    if (!lanes_[i].empty()) return lanes_[i].front();
  }
  return nullptr;
}

bool StartLine::AllWaitForReady() {
  bool all = true;
  ForEach([&all](AsyncCall& call) { all = all && call.wait_for_ready(); });
  return all;
}

}  // namespace nearcall::rpc
