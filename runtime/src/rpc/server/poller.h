// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "rpc/server/bells.h"
#include "rpc/server/call_pool.h"
#include "rpc/server/in_queue.h"
#include "rpc/server/intake.h"
#include "rpc/server/lead.h"
#include "rpc/server/mailbox.h"
#include "rpc/server/resumptions.h"
#include "rpc/server/server_core.h"
#include "rpc/server/serving_threads.h"
#include "rpc/server/turn_runner.h"
#include "session/server_session.h"
#include "session/waiting.h"

namespace nearcall::rpc {

// Reads the requests of many connections and runs their handlers, on the thread that reads.
//
// At any moment one of its threads leads (see Lead). It looks at the hot connections, takes what is there, runs the
// best turn inline, and looks again; when there is nothing it spins a little, then asks every connection to ring,
// and sleeps in epoll. All that was read belongs to the poller, not to the thread.
//
// A handler that is about to wait in the runtime gives the lead away first. One that waits for its stream, of which it
// was the only one to be served, leads on for a while, and so reads itself what it waits for.
//
// In an event queue there are no threads: its turns do what the leader does, on whatever thread they are taken.
//
// Thread-safe where nothing else is said.
class Poller {
 public:
  // `index`: among those of its server.
  explicit Poller(ServerCore& core, size_t index = 0)
      : core_(core),
        resumptions_(core, lead_, bells_, mailbox_),
        threads_(core, lead_, bells_, mailbox_, [this](Lead::ThreadId me) { Work(me); }),
        calls_(core, resumptions_, index),
        intake_(core, bells_, calls_),
        runner_(core, resumptions_, calls_) {}
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  ~Poller();

  absl::Status Start();

  // Ends all connections' service; threads leave as soon as their handlers return (ServerCore::threads is joined by the
  // server), and there are no further turns.
  void Stop();
  // After its threads have left: gives everything up.
  void Clear();

  void Add(const std::shared_ptr<session::ServerSession>& session);
  // The session has ended. Harmless for one that is not there.
  void Remove(uint32_t connection_id);

  // How it is woken.
  Resumptions& resumptions() { return resumptions_; }

  // In an event queue, on the thread that has its turn: whether a handler runs; and does what there is to do, but runs
  // at most `max` turns. How many it has run.
  bool in_handler() const { return lead_.Look().in_handlers != 0; }
  size_t TakeTurn(size_t max);

  // Where its connections are.
  const Mailbox& mailbox() const { return mailbox_; }
  // Requests of that lane that wait for a handler. Any thread.
  size_t waiting(size_t lane) const { return intake_.queue().turns(lane); }
  std::string DebugString();

 private:
  // A handler that runs on the thread that led when it began.
  class InlineRun;

  enum class Did { kNothing, kRead, kTurn, kLostTheLead };

  // --- the leader ---
  void Work(Lead::ThreadId me);
  Did TakeStep(Lead::ThreadId me);
  void ReadMail();
  bool Harvest();
  void Drop(uint32_t connection_id);
  Did RunNext(Lead::ThreadId me, base::SteadyNs now);
  Did RunInline(Lead::ThreadId me, Turn& turn, base::SteadyNs now);
  bool LeadFor(const session::ServerSession& session, const session::Waiting& waiting);
  void GiveLeadAway();

  ServerCore& core_;
  Lead lead_;
  Bells bells_;
  Mailbox mailbox_;
  Resumptions resumptions_;
  ServingThreads threads_;
  // The leader's. They change hands with the lead.
  CallPool calls_;
  Intake intake_;
  TurnRunner runner_;  // any thread's
  InQueue in_queue_;
  Lead::ThreadId queues_ = 0;  // of whoever takes its turns
};

}  // namespace nearcall::rpc
