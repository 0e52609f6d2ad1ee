// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "rpc/server/bells.h"
#include "rpc/server/lead.h"
#include "rpc/server/mailbox.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

// The threads of a poller: each leads, or stands by, or leaves, as Lead has it. One that a handler ends is replaced.
// The server joins them. Thread-safe.
class ServingThreads {
 public:
  // `work`: what the leader does; returns when it leads no more, or sleeps.
  ServingThreads(ServerCore& core, Lead& lead, Bells& bells, Mailbox& mailbox, std::function<void(Lead::ThreadId)> work)
      : core_(core), lead_(lead), bells_(bells), mailbox_(mailbox), work_(std::move(work)) {}
  ServingThreads(const ServingThreads&) = delete;
  ServingThreads& operator=(const ServingThreads&) = delete;

  absl::Status Start();
  // Another one, but in an event queue. If none can be had, the next leader that gets stuck is not replaced; all else
  // works.
  bool StartAnother();

 private:
  void Serve();
  void ServeAs(Lead::ThreadId me);
  void ReplaceThisThread();

  ServerCore& core_;
  Lead& lead_;
  Bells& bells_;
  Mailbox& mailbox_;
  const std::function<void(Lead::ThreadId)> work_;
};

}  // namespace nearcall::rpc
