// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/spin_policy.h"
#include "rpc/server/bells.h"
#include "rpc/server/call_pool.h"
#include "rpc/server/dispatch_queue.h"
#include "rpc/server/incoming_call.h"
#include "rpc/server/read_connection.h"
#include "rpc/server/server_core.h"
#include "session/server_session.h"

namespace nearcall::rpc {

// Reads the requests of many connections into a queue: looks at the hot ones (those with traffic a moment ago), and
// asks the others to ring. Used by one thread at a time, the leader; the queue's turns(lane) by any.
class Intake {
 public:
  Intake(ServerCore& core, Bells& bells, CallPool& calls);

  void Add(std::shared_ptr<session::ServerSession> session);
  // It has rung, or is expected to have something.
  void Warm(uint32_t connection_id);
  // Its client has gone: gives up all that is read of it and has not begun, but what was sent one way. nullptr: it was
  // not there, or that is to be read and run first; it is then NextThatHasLeft().
  std::shared_ptr<session::ServerSession> Remove(uint32_t connection_id);
  // One that Harvest() has found to have left, once.
  std::optional<uint32_t> NextThatHasLeft();
  void Clear();

  // A turn of a call that has begun.
  void Queue(Turn& turn);

  // Whether it is time to look at the connections before the next call is run.
  bool IsDue() const;
  void BeDue();
  // Looks at all hot connections, and reads. Whether there was anything.
  bool Harvest();
  // When the last one of the last Harvest() was read, if nothing was read after it: the time as good as now. Else 0.
  base::SteadyNs just_read() const { return just_read_; }
  // The next turn that may begin, with a place taken for it, or nullptr.
  Turn* Next(base::SteadyNs now);

  // Whether nobody but the client of `session` has had traffic a moment ago, nor anything queued.
  bool IsAlone(const session::ServerSession& session) const;

  // Spins for the next request, while that can help. Whether there is anything, or `also`.
  bool LookForAWhile(absl::FunctionRef<bool()> also);
  // Asks all connections to ring. False: there is something after all.
  bool ArmAll();

  const DispatchQueue& queue() const { return queue_; }

 private:
  using Connection = ReadConnection;

  void Warm(Connection& connection);
  bool MayRead(const Connection& connection) const;
  void GiveUp(Connection& connection);
  void HoldIfItDoesNotRead(Connection& connection);
  bool ReadFrom(Connection& connection);
  bool ReadFrame(Connection& connection);
  void Accept(Connection& connection, std::unique_ptr<IncomingCall> call, session::Inbox::Event event);
  bool GoesCold(Connection& connection);
  bool SomethingToDo();

  ServerCore& core_;
  Bells& bells_;
  CallPool& calls_;
  std::unordered_map<uint32_t, std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> hot_;
  std::vector<uint32_t> left_;
  DispatchQueue queue_;
  base::SpinPolicy spin_;
  int turns_since_harvest_ = 0;
  base::SteadyNs just_read_ = 0;
};

}  // namespace nearcall::rpc
