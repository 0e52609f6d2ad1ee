// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "session/arrivals.h"
#include "session/client_session.h"
#include "session/stream.h"
#include "session/waiting.h"
#include "session/waiting_call.h"
#include "wire/header.h"

namespace nearcall::session {

// A streaming call whose caller waits for what happens to it: a thread that reads, and one that writes.
//
// Its way: Begin(), then the opening (TrySend or Send), then elements in both directions, then Drain(), then Release().
// Reading, ending and releasing by one thread; writing by one, until the other one releases; cancelling
// (ClientSession::Cancel) by any.
class StreamingCall final : public WaitingCall {
 public:
  // `server_streams`: whether elements come.
  StreamingCall(ClientSession& session, bool server_streams);

  // --- who reads ---

  // kSome: what has come is in `mine`, which was empty. kOver: no more will come. kNotYet: WaitReadable(), and again.
  enum class Took { kSome, kOver, kNotYet };
  Took Take(Arrivals& mine);
  // Until there is something to take, or the deadline, which ends the call.
  void WaitReadable();

  // The element of that size has been read. `header`: of a frame of the call.
  void GiveCredit(const wire::FrameHeader& header, size_t element_size);

  // The initial metadata, not decoded, if they have come with an element.
  std::optional<std::string> InitialEnvelope();

  // Whether this side has ended it: by a cancel, at the deadline.
  bool given_up() const { return stream_.given_up(); }
  bool ended() const { return finished(); }

  // What was taken is not read, but its credit is given: else the server waits for it until the deadline.
  void Discard(const wire::FrameHeader& header, Arrivals& taken);
  // Discards what comes until the call has ended, by its deadline if by nothing else.
  void Drain(const wire::FrameHeader& header);

  // Ends it with `why`, unless it has ended, and tells the server. Any thread; the end may come a moment later.
  void GiveUp(absl::Status why);
  // The same by who writes, in the middle of an element, which is withdrawn.
  void GiveUp(absl::Status why, Outgoing& element);
  // The same because the time is up.
  void EndAtDeadline(absl::string_view waiting_for = "no reply");

  // --- who writes ---

  // Takes what has come, without waiting: the call may have ended.
  void Look();

  // Waits for credit for an element of that size. False: the call has ended, or (fail_fast) there was none, which ends
  // it.
  bool BeginElement(size_t size, bool fail_fast);
  // Sends an element, or a half-close, of one frame, which `write` serialises in place. False: no room now.
  bool TrySendElement(const wire::FrameHeader& header, size_t size, Outbox::Write write);
  // Sends the next frame of `element`; waits for room. False: the call has ended, and the element has been withdrawn.
  bool SendElement(Outgoing& element);

 private:
  void NoteWritten();

  Waiting writer_;
  Stream stream_;
  ReadCount read_;
};

}  // namespace nearcall::session
