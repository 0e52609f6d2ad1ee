// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/turn_runner.h"

#include <cxxabi.h>

#include <utility>

#include "base/clock.h"
#include "base/quota.h"
#include "rpc/server/blocking_habit.h"
#include "session/server_session.h"

namespace nearcall::rpc {

absl::Status TurnRunner::RunOnThread(Turn& turn) {
  return core_.threads.TryRun([this, &turn] { Run(turn); });
}

void TurnRunner::Run(Turn& turn) {
  const base::SteadyNs since = base::NowNs();
  try {
    turn.Run();
  } catch (abi::__forced_unwind&) {
    OnEnd(turn, /*leads=*/false);
    throw;
  }
  if (BlockingHabit* const habit = turn.call.request().habit()) habit->Ran(base::NowNs() - since);
  OnEnd(turn, /*leads=*/false);
}

void TurnRunner::OnEnd(Turn& turn, bool leads) {
  IncomingCall& call = turn.call;
  session::ServerSession& session = *call.request().session;
  base::Account* const account = session.client().account();  // lives as long as the server
  // Who is suspended waits without one.
  const bool has_place = turn.kind == Turn::Kind::kOperation || call.place().held();
  if (session.NeedsALook()) resumptions_.LookAt(session.id());
  if (call.Drop()) {  // else it belongs to whoever answers it
    std::unique_ptr<IncomingCall> last(&call);
    if (leads) {
      calls_.Recycle(std::move(last));
    } else {
      last->Reset();
    }
  }
  if (has_place) core_.FreePlace(account);
}

void TurnRunner::Refuse(std::unique_ptr<IncomingCall> call, const absl::Status& status) {
  core_.FreePlace(call->request().session->client().account());
  call->Refuse(status, ExecState::kNotStarted);
  calls_.Recycle(std::move(call));
}

}  // namespace nearcall::rpc
