// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/quota.h"
#include "session/call_table.h"
#include "session/client_call.h"
#include "session/connection_end.h"
#include "session/outbox.h"
#include "session/reader_role.h"
#include "session/slot_line.h"
#include "session/waiting.h"
#include "transport/transport.h"
#include "wire/header.h"

namespace nearcall::session {

// Who uses a connection: the calls in flight, who stands in line to begin one, and who of all that wait reads. What the
// session's lock guards, and that lock.
//
// Thread-safe. After TryBegin() has said kYes a call ends exactly once: with a reply, or with a failure.
class Callers {
 public:
  // Of the side that has accepted the connection: who pays for its calls, and what a stream costs beside.
  struct Back {
    base::Allowance* memory = nullptr;
    size_t stream_cost = 0;
  };
  // `back`: unset at the side that has connected.
  Callers(transport::Transport& transport, const Outbox& outbox, ConnectionEnd& end, size_t max_calls,
          size_t max_queued_bytes, std::optional<Back> back = {})
      : end_(end),
        outbox_(outbox),
        back_(back.value_or(Back{})),
        calls_(max_calls, back.has_value() ? wire::kBegunByAcceptor : 0),
        line_(calls_, outbox, max_queued_bytes),
        role_(transport) {}

  enum class Begun {
    kYes,
    kFull,   // no slot now, or too much waits for room: who waits for the call stands in line, and is told
    kGone,   // the connection takes no more calls
    kEnded,  // it was cancelled before
  };
  Begun TryBegin(ClientCall& call);

  // Once he no longer waits to begin a call.
  void LeaveLine(Waiting& waiting);

  // Ends a call with `failure`, unless it has ended; one that has not begun does not begin any more, and was not sent.
  // True if it was in flight. Any thread, as long as the call exists.
  bool Fail(ClientCall& call, absl::Status failure);
  // All that are in flight, because the connection has ended.
  void FailAll();

  // Takes out the call that `reply` answers: nullptr if it has ended. INTERNAL: it is no answer to that call.
  absl::StatusOr<ClientCall*> TakeAnswered(const wire::FrameHeader& reply);
  // An element, half-close or credit for a stream; dropped if that has ended. INTERNAL: it must not come.
  absl::Status Deliver(wire::Message& message);
  // What does not fit has been dropped: ends the stream that `header` is for, if there is still one, and tells the
  // server.
  absl::Status FailStream(const wire::FrameHeader& header, absl::Status failure);

  // Under the session's lock.
  template <typename Do>
  auto Locked(Do&& something) {
    base::MutexLock lock(mutex_);
    return something();
  }

  // Nothing of the request of a call that has ended was sent or will be, so that no reply comes.
  void NoteUnsent(uint64_t call_id);

  // The owner is done with a call that has ended. Its slot is free when the reply has come, and keeps `memory`, which
  // is taken, for the next one.
  void Release(ClientCall& call, base::Buffer& memory);

  // No further calls begin. When the last call is answered or released this side hangs up (for replies to those that
  // were given up nobody waits), which the server waits for: it does not know what this side has begun to send.
  void Retire();

  // The server's calls here: `begins` when one has been read, else one is over. This side does not hang up before.
  void NoteServed(bool begins);

  // What is to be done with the role of who reads.
  template <typename Do>
  auto OfRole(Do&& something) {
    base::MutexLock lock(mutex_);
    return something(role_);
  }
  // See ReaderRole.
  void Tell(Waiting& waiting);
  void InterruptReader();

  // Fewer bytes wait for room now.
  void TellNext();

  struct Slots {
    size_t in_use;
    size_t given_up;  // of these: until somebody reads their replies
  };
  Slots slots();
  std::string WhyFull();

 private:
  // The server's calls here.
  struct Served {
    size_t under_way = 0;
    bool any = false;  // there have been some
  };

  void End(ClientCall& call, absl::Status failure) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void HangUpIfOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ConnectionEnd& end_;
  const Outbox& outbox_;
  const Back back_;

  base::Mutex mutex_;
  Served served_ ABSL_GUARDED_BY(mutex_);
  CallTable calls_ ABSL_GUARDED_BY(mutex_);
  SlotLine line_ ABSL_GUARDED_BY(mutex_);
  ReaderRole role_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::session
