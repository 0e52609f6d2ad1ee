// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "rpc/server/call_pool.h"
#include "rpc/server/incoming_call.h"
#include "rpc/server/resumptions.h"
#include "rpc/server/server_core.h"
#include "rpc/server/turn.h"

namespace nearcall::rpc {

// Turns on threads of their own, and what is to be done when any turn has ended: its call is over, or waits, and its
// place is free. Thread-safe where nothing else is said.
class TurnRunner {
 public:
  TurnRunner(ServerCore& core, Resumptions& resumptions, CallPool& calls)
      : core_(core), resumptions_(resumptions), calls_(calls) {}
  TurnRunner(const TurnRunner&) = delete;
  TurnRunner& operator=(const TurnRunner&) = delete;

  // Not OK: there is no thread, and nothing was done.
  absl::Status RunOnThread(Turn& turn);

  // `leads`: by the leader.
  void OnEnd(Turn& turn, bool leads);

  // By the leader: one that has its place, and does not begin.
  void Refuse(std::unique_ptr<IncomingCall> call, const absl::Status& status);

 private:
  void Run(Turn& turn);

  ServerCore& core_;
  Resumptions& resumptions_;
  CallPool& calls_;  // the leader's
};

}  // namespace nearcall::rpc
