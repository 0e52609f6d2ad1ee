// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nearcall/internal/operation.h"
#include "rpc/server/turn.h"
#include "session/waiting.h"

namespace nearcall::rpc {

class Places;

// One side of a handler's stream, its reading or its writing one, and who waits there: a thread, or an operation that a
// suspended coroutine has left, which has a turn once there is news. The session's lock guards it.
class StreamSide final : public Turn, private session::Listener {
 public:
  // `suspends`: the handler is a coroutine; its threads do not wait.
  StreamSide(IncomingCall& its_call, Places& places, bool suspends)
      : Turn(Kind::kOperation, its_call), places_(places) {
    if (suspends) waiting_.listener = this;
  }

  session::Waiting& waiting() { return waiting_; }

  // There is no news of it yet, as who has looked under this lock knows.
  void Leave(internal::Operation& operation);
  void Withdraw(const internal::Operation& operation);
  bool somebody_waits() const { return operation_ != nullptr; }

  // Takes the lock, and runs the operation without it.
  void Run() override;

 private:
  void OnNews() override;

  Places& places_;
  session::Waiting waiting_;
  internal::Operation* operation_ = nullptr;
  bool queued_ = false;  // and holds the call
};

}  // namespace nearcall::rpc
