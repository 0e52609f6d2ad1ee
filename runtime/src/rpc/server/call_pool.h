// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "rpc/server/call_counts.h"
#include "rpc/server/incoming_call.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

// Calls that have ended, with their memory, for those that come. The leader's.
class CallPool {
 public:
  // `leader`: as whom that counts.
  CallPool(ServerCore& core, Places& places, CallCounts::Writer leader)
      : core_(core), places_(places), leader_(leader) {
    free_.reserve(kMaxFree);
  }

  // One in which nothing is.
  std::unique_ptr<IncomingCall> Take() {
    if (free_.empty()) return std::make_unique<IncomingCall>(core_, places_, leader_);
    std::unique_ptr<IncomingCall> call = std::move(free_.back());
    free_.pop_back();
    return call;
  }

  // One of which nothing has begun. It was taken here, so that there is room for it.
  void PutBack(std::unique_ptr<IncomingCall> call) { free_.push_back(std::move(call)); }

  // One that has ended.
  void Recycle(std::unique_ptr<IncomingCall> call) {
    call->Reset(/*by_leader=*/true);
    call->request().message.bytes.Trim(base::kDefaultRingSize);
    if (free_.size() < kMaxFree) free_.push_back(std::move(call));
  }

  void Clear() { free_.clear(); }

 private:
  static constexpr size_t kMaxFree = 64;

  ServerCore& core_;
  Places& places_;
  const CallCounts::Writer leader_;
  std::vector<std::unique_ptr<IncomingCall>> free_;  // with room for so many
};

}  // namespace nearcall::rpc
