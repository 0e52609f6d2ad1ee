// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutex.h"
#include "session/call_table.h"
#include "session/client_call.h"
#include "session/completion_queue.h"
#include "session/connection_end.h"
#include "session/inbox.h"
#include "session/late_ring.h"
#include "session/outbox.h"
#include "session/peer_wait.h"
#include "session/reader_role.h"
#include "session/server_name.h"
#include "session/slot_line.h"
#include "session/waiting_call.h"
#include "transport/connection.h"
#include "transport/control.h"

namespace nearcall::session {

struct ClientSessionOptions {
  size_t max_message_size;
  size_t max_calls_in_flight;
  size_t max_queued_bytes;
  int64_t max_spin_ns;
};

// One connection to a server, with its calls in flight. No thread of its own: callers that wait elect one of themselves
// to read for all. The reader hands the others the bytes of their replies, and passes the role to the one who has
// waited longest when its own reply has come or its time is up. One of these may be the thread that waits for all
// asynchronous calls (CompletionQueue).
//
// The way of a blocking call: Begin, then TrySend or (Send for each piece), then Wait, then End. After Begin the call
// ends exactly once: with a reply, or with a failure (deadline, cancel, death of the peer, violation).
//
// Thread-safe. Owned by the channel that made it and by the calls that use it.
class ClientSession final : public transport::ControlSink {
 public:
  static absl::StatusOr<std::shared_ptr<ClientSession>> Start(transport::Connection connection,
                                                              const ClientSessionOptions& options,
                                                              std::shared_ptr<base::Logger> logger,
                                                              std::string address);
  ~ClientSession() override;

  // Registers `call`. When all slots are taken, or too much waits for room already: waits until the call's deadline, or
  // fails at once. RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, UNAVAILABLE, CANCELLED, all "not sent".
  absl::Status Begin(WaitingCall& call, bool fail_fast);

  // Sends a request of one frame, serialised in place by `write`. False: no room now.
  bool TrySend(WaitingCall& call, const wire::FrameHeader& header, size_t size, Outbox::Write write);

  // Sends the next frame of `message`; without room waits for it, or (fail_fast, first frame) ends the call with
  // RESOURCE_EXHAUSTED. False: the call has ended, and the message has been withdrawn. True, and nothing sent, if the
  // connection is just ending: Wait() tells the outcome.
  bool Send(WaitingCall& call, Outgoing& message, bool fail_fast);

  // Gives up a call that cannot be sent to its end: its message is withdrawn, and it ends with `failure` if it has not
  // ended.
  void Abandon(WaitingCall& call, Outgoing& message, absl::Status failure);

  // The same for a call of which nothing waits to be sent.
  void GiveUp(WaitingCall& call, absl::Status failure);

  // Until the call has ended, by its deadline if by nothing else.
  void Wait(WaitingCall& call);

  // The owner is done with the call.
  void End(ClientCall& call);

  // Ends the call with CANCELLED, unless it has ended, and tells the server. Any thread, as long as the call exists;
  // before Begin() too.
  void Cancel(ClientCall& call);

  // --- the way of an asynchronous call: TryBegin, Post, Serve; when it comes out of its queue, End ---

  enum class Begun {
    kYes,
    kFull,   // no slot now, or too much waits for room; the queue is poked when to try again (see LeaveSlotQueue)
    kGone,   // the connection takes no more calls
    kEnded,  // it was cancelled, or expired, before
  };
  Begun TryBegin(ClientCall& call);

  // No call of this queue waits for a slot any more.
  void LeaveSlotQueue(CompletionQueue& queue);

  // Sends a request, and keeps what finds no room. Its call may end before this returns. kLater: the server need not
  // see it before Publish(). A request that is kept moves out of `bytes`.
  void Post(const wire::FrameHeader& header, base::Buffer& bytes, Outbox::HandOver when);
  void Publish();

  // Reads replies, for this queue's calls and everybody's, until there is news in the queue or `until`.
  void Serve(CompletionQueue& queue, base::SteadyNs until);

  // Ends Serve(), or the next one.
  void Wake(CompletionQueue& queue);

  // Ends the call with DEADLINE_EXCEEDED, unless it has ended.
  void Expire(ClientCall& call);

  // The same with RESOURCE_EXHAUSTED.
  void EndForWantOfMemory(ClientCall& call);

  // Whether new calls may start here: not broken, not hung up, not told to go away.
  bool usable() const { return end_.usable(); }

  // No further calls start here: the server refuses them. Who waits for a place goes elsewhere. When the last call has
  // ended the connection is hung up, which the server waits for.
  void Retire();

  size_t max_frame_size() const { return transport_->max_frame_size(); }
  size_t bytes_waiting() const { return outbox_.bytes_waiting(); }
  size_t peer_max_message_size() const { return peer_max_message_size_; }
  const ServerName& server() const { return end_.server(); }
  std::string DebugString();

  // transport::ControlSink
  void OnControl(const transport::ControlMessage& message) override;
  void OnPeerGone() override;
  void OnControlViolation(const char* what) override;

 private:
  ClientSession(transport::Connection connection, const ClientSessionOptions& options,
                std::shared_ptr<base::Logger> logger, std::string address);

  using Ready = absl::FunctionRef<bool()>;
  void WaitUntil(Waiting& me, base::SteadyNs until, Ready ready);
  bool TakeRole(Waiting& me) ABSL_LOCKS_EXCLUDED(mutex_);
  void LeaveRole(Waiting& me) ABSL_LOCKS_EXCLUDED(mutex_);
  void Read(Waiting& me, base::SteadyNs until, Ready ready);
  bool ReadFrames(const Waiting& me);
  void TakeMessage(Inbox::Event event);
  void Deliver();
  void Refuse(Inbox::Event why);
  ClientCall* TakeAnswered();
  void WaitForPeer(Waiting& me, base::SteadyNs until);
  bool Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  void RingIfLate(Waiting& waiting, base::SteadyNs now);
  void Fail(ClientCall& call, absl::Status failure) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailOwn(WaitingCall& call, absl::Status failure);
  bool FailEarly(ClientCall& call, const absl::Status& failure, uint64_t& id);
  static void NoteSent(WaitingCall& call, const Outgoing& message);
  static void Settle(WaitingCall& call);
  std::optional<absl::Status> TryBegin(WaitingCall& call, bool fail_fast) ABSL_LOCKS_EXCLUDED(mutex_);
  bool BeginsOrFails(const WaitingCall& call) ABSL_LOCKS_EXCLUDED(mutex_);
  void LeaveLine(Waiting& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void HangUpIfOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PokeNextForSlot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailAll();
  void Break(const absl::Status& violation);
  void WakeReaderForRest() ABSL_LOCKS_EXCLUDED(mutex_);
  void WakeReader() ABSL_LOCKS_EXCLUDED(mutex_);

  // Constant after construction.
  const std::unique_ptr<transport::Transport> transport_;
  const size_t peer_max_message_size_;

  // Synchronise themselves.
  ConnectionEnd end_;
  Outbox outbox_;
  LateRing late_ring_;

  // Touched by the reader only.
  Inbox inbox_;
  PeerWait peer_wait_;
  wire::Message message_;

  base::Mutex mutex_;
  CallTable calls_ ABSL_GUARDED_BY(mutex_);
  ReaderRole role_ ABSL_GUARDED_BY(mutex_);
  SlotLine line_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::session
