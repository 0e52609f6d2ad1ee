// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "nearcall/channel.h"
#include "rpc/client/async_call.h"
#include "rpc/client/deadlines.h"
#include "rpc/client/start_line.h"
#include "session/client_session.h"
#include "session/completion_queue.h"
#include "wire/header.h"

namespace nearcall::rpc {

// What is to be sent of a call that has just begun.
struct Opening {
  session::ClientSession* session = nullptr;  // the book's
  wire::FrameHeader header;
  std::shared_ptr<OpenAttempt> attempt;  // if it streams

  // Sends it; without memory the call ends. By one thread, without a lock.
  void Post(AsyncCall& call, session::Outbox::HandOver when) const;
};

// Which asynchronous calls there are over one connection, or over one that is still to be made: those in flight, those
// that wait, and when their time is up. A call that ends goes to the completion queue.
//
// Not synchronised: the lock of the AsyncCalls guards it. Lock order: that, then the session, then the queue.
class CallBook {
 public:
  using SessionPtr = std::shared_ptr<session::ClientSession>;
  using Begun = session::Callers::Begun;

  // `session`: null, if there is none yet.
  CallBook(const ChannelOptions& options, session::CompletionQueue& queue, SessionPtr session)
      : options_(options), queue_(queue), session_(std::move(session)) {}

  const SessionPtr& session() const { return session_; }
  void set_session(SessionPtr session) { session_ = std::move(session); }
  // The connection takes no more calls.
  bool retired() const { return session_ != nullptr && !session_->usable(); }

  StartLine& line() { return line_; }
  bool none_in_flight() const { return in_flight_.empty(); }
  // Those in flight that do not stream: what they wait for is due.
  size_t replies_due() const { return replies_due_; }
  base::SteadyNs first_deadline() const { return deadlines_.first(); }

  // It is under way from here on.
  void Adopt(const std::shared_ptr<AsyncCall>& call);
  // kYes: it is in flight, and to be posted. bad_alloc: nothing was done.
  Begun TryBegin(AsyncCall& call);
  // Whether the session's next slot is waited for; not any more.
  bool stands_in_slot_line() const { return stands_in_slot_line_; }
  void LeaveSlotLine();
  Opening OpeningOf(AsyncCall& call) const {
    return {session_.get(), call.request().Header(call.id), call.present_attempt()};
  }

  // Whether it may stand in line; if not, why.
  bool MayWait(const AsyncCall& call);
  absl::Status NoRoom();
  void Enqueue(AsyncCall& call);

  // Out of the line, or out of those in flight. Nothing, if it is in neither.
  void TakeOut(AsyncCall& call);
  // Ends a call that is not in flight.
  void End(AsyncCall& call, absl::Status status);
  // Ends any; before it is started, too.
  void Cancel(AsyncCall& call);
  // All but those that are local.
  void CancelAll();
  // Those whose time is up.
  void Expire(base::SteadyNs now);
  // Those in flight, with `status`.
  void FailInFlight(const absl::Status& status);

  // The thread that waits for them looks again.
  void Wake();

 private:
  size_t BytesWaiting();

  const ChannelOptions& options_;
  session::CompletionQueue& queue_;
  SessionPtr session_;  // set once
  StartLine line_;
  base::List<AsyncCall> in_flight_;  // until their callback's turn
  Deadlines deadlines_;              // of both
  size_t replies_due_ = 0;
  bool stands_in_slot_line_ = false;
};

}  // namespace nearcall::rpc
