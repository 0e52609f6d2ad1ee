// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "session/client_call.h"
#include "session/outbox.h"
#include "session/waiting.h"
#include "wire/header.h"

namespace nearcall::session {

class ClientSession;

// A call whose caller waits for it. Lives on the caller's stack.
//
// Its way: Begin(), then TrySend() or (Send() for each piece), then Wait(), then Release(). Used by the caller's
// thread; others may cancel it (ClientSession::Cancel), before Begin() too.
class WaitingCall : public ClientCall {
 public:
  explicit WaitingCall(ClientSession& session) : session_(session) { waiting = &caller_; }

  // When all slots are taken, or too much waits for room already: waits until the deadline, or fails at once.
  // RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, UNAVAILABLE, CANCELLED, all "not sent".
  absl::Status Begin(bool fail_fast);

  // Sends a request of one frame, serialised in place by `write`. False: no room now.
  bool TrySend(const wire::FrameHeader& header, size_t size, Outbox::Write write);

  // Sends the next frame of `message`; without room waits for it, or (fail_fast, first frame) ends with
  // RESOURCE_EXHAUSTED. False: the call has ended, and the message has been withdrawn. True, and nothing sent, if
  // the connection is just ending: Wait() tells the outcome.
  bool Send(Outgoing& message, bool fail_fast);

  // Ends with `failure`, if it has not ended.
  void Fail(absl::Status failure);
  // The same for a call that cannot be sent to its end: `message` is withdrawn.
  void Fail(absl::Status failure, Outgoing& message);

  // Until it has ended, by its deadline if by nothing else.
  void Wait();

  // Whether all of the request has been handed to the transport.
  bool sent() const { return sent_; }

  // Ends it without its reply, once the server can read all of it whatever becomes of this process. False: it has ended
  // before.
  bool LetGo();

  // After the end: the caller is done with it.
  void Release();

 protected:
  // Until `message` has gone, or the call has ended; at most to the deadline. bad_alloc: it has been withdrawn.
  void WaitForRoom(Waiting& me, Outgoing& message);
  bool finished() const { return caller_.waiter.finished(); }
  ClientSession& session() { return session_; }
  Waiting& caller() { return caller_; }

 private:
  void NoteSent();
  void NoteWhatWasSent();

  ClientSession& session_;
  Waiting caller_;
  bool sent_ = false;
  bool sent_any_ = false;  // some of it has, so that the server answers
};

}  // namespace nearcall::session
