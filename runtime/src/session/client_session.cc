// SPDX-License-Identifier: Apache-2.0
#include "session/client_session.h"

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/no_memory.h"

namespace nearcall::session {

namespace {

using base::SteadyNs;
using base::WithExecState;

// Frames taken before the room is given back and the caller looks at its own call.
constexpr int kFramesPerTurn = 64;

}  // namespace

absl::StatusOr<std::shared_ptr<ClientSession>> ClientSession::Start(transport::Connection connection,
                                                                    const ClientSessionOptions& options,
                                                                    std::shared_ptr<base::Logger> logger,
                                                                    std::string address) {
  base::Fd control = std::move(connection.control);
  base::Fd pidfd = std::move(connection.peer_pidfd);
  std::shared_ptr<ClientSession> session(
      new ClientSession(std::move(connection), options, std::move(logger), std::move(address)));
  absl::StatusOr<std::unique_ptr<transport::ControlChannel>> watched =
      transport::WatchControl(std::move(control), std::move(pidfd), session);
  if (!watched.ok()) return watched.status();
  // A violation, or a go-away, may have come in before.
  session->end_.Attach(*std::move(watched));
  return session;
}

ClientSession::ClientSession(transport::Connection connection, const ClientSessionOptions& options,
                             std::shared_ptr<base::Logger> logger, std::string address)
    : transport_(std::move(connection.transport)),
      peer_max_message_size_(connection.peer_terms.max_message_size),
      end_({std::move(address), std::string(transport_->name()), connection.peer}, std::move(logger)),
      outbox_(*transport_, connection.local_id),
      inbox_(*transport_, connection.peer_id, options.max_message_size),
      peer_wait_(*transport_, options.max_spin_ns),
      calls_(std::clamp<size_t>(connection.peer_terms.max_calls_in_flight, 1, options.max_calls_in_flight)),
      role_(*transport_),
      line_(calls_, outbox_, options.max_queued_bytes) {
  // Awake, and where.
  transport_->Disarm();
}

ClientSession::~ClientSession() = default;

// --- the way of a call ---

absl::Status ClientSession::Begin(WaitingCall& call, bool fail_fast) try {
  call.caller.lane = call.lane;
  for (;;) {
    if (std::optional<absl::Status> decided = TryBegin(call, fail_fast)) return *std::move(decided);
    // Reading, if nobody else does: what waits for room may belong to calls that have ended.
    WaitUntil(call.caller, call.deadline, [&] { return BeginsOrFails(call); });
  }
} catch (const std::bad_alloc&) {
  base::MutexLock lock(mutex_);
  LeaveLine(call.caller);
  call.failure = base::NoMemory();
  return call.failure;
}

// Nothing, if the call now stands in line.
std::optional<absl::Status> ClientSession::TryBegin(WaitingCall& call, bool fail_fast) {
  base::MutexLock lock(mutex_);
  if (!call.failure.ok()) {
    // Cancelled before it began.
  } else if (!usable()) {
    call.failure = WithExecState(end_.Failure(), ExecState::kNotSent);
  } else if (line_.IsNext(call.caller, call.lane)) {
    calls_.Insert(call);
  } else if (fail_fast) {
    call.failure = WithExecState(absl::ResourceExhaustedError(line_.WhyFull(server())), ExecState::kNotSent);
  } else if (base::NowNs() >= call.deadline) {
    call.failure = WithExecState(absl::DeadlineExceededError(line_.WhyFull(server())), ExecState::kNotSent);
  } else {
    line_.Stand(call.caller, call.lane);
    return std::nullopt;
  }
  LeaveLine(call.caller);
  return call.failure;
}

bool ClientSession::BeginsOrFails(const WaitingCall& call) {
  base::MutexLock lock(mutex_);
  return !call.failure.ok() || !usable() || line_.IsNext(call.caller, call.lane);
}

void ClientSession::LeaveLine(Waiting& waiting) {
  SlotLine::Leave(waiting);
  // Several places may have become free at once, and all who gave them have poked the same one.
  PokeNextForSlot();
}

void ClientSession::PokeNextForSlot() {
  if (Waiting* next = line_.Next()) role_.Tell(*next);
}

bool ClientSession::TrySend(WaitingCall& call, const wire::FrameHeader& header, size_t size, Outbox::Write write) {
  call.sent = !call.finished() && outbox_.TrySend(header, size, write);
  if (!call.sent) return false;
  call.caller.Await(call.started);
  WakeReaderForRest();
  return true;
}

bool ClientSession::Send(WaitingCall& call, Outgoing& message, bool fail_fast) {
  message.sender = &call.caller.waiter;
  const bool first = !message.started;
  if (!call.finished()) {
    if (outbox_.Offer(message)) {
      NoteSent(call, message);
      WakeReaderForRest();
      return true;
    }
    if (first && fail_fast) {
      Abandon(call, message,
              absl::ResourceExhaustedError(absl::StrCat("no room in the ", server().transport, " transport to ",
                                                        server().address,
                                                        ": the server is not keeping up; retry later or let the call "
                                                        "wait")));
      return false;
    }
    WakeReader();
    WaitUntil(call.caller, call.deadline, [&] { return !outbox_.Waits(message); });
    base::MutexLock lock(mutex_);
    PokeNextForSlot();  // fewer bytes wait now
  }
  if (!call.finished() && !outbox_.Waits(message)) {
    NoteSent(call, message);
    return true;
  }
  Abandon(call, message,
          absl::DeadlineExceededError(absl::StrCat("deadline passed while the request waited for room in the ",
                                                   server().transport, " transport to ", server().address)));
  return false;
}

void ClientSession::Abandon(WaitingCall& call, Outgoing& message, absl::Status failure) {
  outbox_.Withdraw(message);
  // The last frame may have gone in the last moment.
  NoteSent(call, message);
  GiveUp(call, std::move(failure));
}

void ClientSession::NoteSent(WaitingCall& call, const Outgoing& message) {
  call.sent = message.fragmenter.done();
  if (call.sent) call.caller.Await(call.started);
}

void ClientSession::GiveUp(WaitingCall& call, absl::Status failure) {
  FailOwn(call, std::move(failure));
  Settle(call);
}

void ClientSession::Wait(WaitingCall& call) {
  WaitUntil(call.caller, call.deadline, [] { return false; });
  if (!call.finished()) {
    FailOwn(call, server().NoReply());
  }
  Settle(call);
  if (call.sent && call.caller.slept) late_ring_.Learn(call.caller, base::NowNs());
}

// Who ends a call from outside cannot know how much of its request has gone: "maybe executed" is what they say. The
// owner knows better.
void ClientSession::Settle(WaitingCall& call) {
  if (call.failure.ok() || call.sent || ExecStateOf(call.failure) != ExecState::kMaybeExecuted) return;
  call.failure = WithExecState(std::move(call.failure), ExecState::kNotSent);
}

void ClientSession::End(ClientCall& call) {
  base::MutexLock lock(mutex_);
  calls_.Release(call);
  PokeNextForSlot();
  HangUpIfOver();
}

void ClientSession::Cancel(ClientCall& call) {
  uint64_t id;
  if (!FailEarly(call, absl::CancelledError("the call was cancelled by its caller"), id)) return;
  end_.control()->Send({.kind = transport::ControlMessage::Kind::kCancel, .call_id = id});
}

void ClientSession::Expire(ClientCall& call) {
  uint64_t id;
  FailEarly(call, server().NoReply(), id);
}

void ClientSession::EndForWantOfMemory(ClientCall& call) {
  uint64_t id;
  FailEarly(call, base::NoMemory(), id);
}

// True if this has ended a call that was in flight, as number `id`.
bool ClientSession::FailEarly(ClientCall& call, const absl::Status& failure, uint64_t& id) {
  base::MutexLock lock(mutex_);
  id = call.id;
  if (id == 0) {
    call.failure = WithExecState(failure, ExecState::kNotSent);
    role_.Tell(*call.waiting);
    return false;
  }
  if (calls_.Take(id) == nullptr) return false;
  Fail(call, failure);
  return true;
}

// Ends the owner's own call, or, if somebody is just ending it, waits for that.
void ClientSession::FailOwn(WaitingCall& call, absl::Status failure) {
  {
    base::MutexLock lock(mutex_);
    if (calls_.Take(call.id) != nullptr) Fail(call, std::move(failure));
  }
  while (!call.finished()) call.caller.waiter.Wait(base::kNever);
}

void ClientSession::Fail(ClientCall& call, absl::Status failure) {
  call.failure = std::move(failure);
  const Waiting* waiting = call.waiting;  // the call is gone after it has been completed
  call.Complete();
  role_.InterruptIfReader(waiting);
}

// --- the elected reader ---

void ClientSession::WaitUntil(Waiting& me, SteadyNs until, Ready ready) try {
  while (!me.waiter.finished() && !ready()) {
    if (TakeRole(me)) {
      Read(me, until, ready);
    } else {
      me.slept = true;
      me.waiter.Wait(std::min(until, late_ring_.When(me)));
    }
    if (me.waiter.finished() || ready()) break;
    const SteadyNs now = base::NowNs();
    if (now >= until) break;
    RingIfLate(me, now);
  }
  LeaveRole(me);
} catch (const std::bad_alloc&) {
  LeaveRole(me);
  throw;
}

bool ClientSession::TakeRole(Waiting& me) {
  base::MutexLock lock(mutex_);
  return role_.Take(me);
}

void ClientSession::LeaveRole(Waiting& me) {
  base::MutexLock lock(mutex_);
  role_.Leave(me);
}

void ClientSession::Read(Waiting& me, SteadyNs until, Ready ready) {
  for (;;) {
    const bool was_dead = end_.dead();
    const bool progress = !end_.broken() && ReadFrames(me);
    if (me.waiter.finished() || ready()) return;
    if (!progress && was_dead) {
      // What the peer published before its end has been read.
      base::UntilThereIsMemory([this] { FailAll(); });
      return;
    }
    if (!progress) WaitForPeer(me, until);
    if (me.waiter.finished() || ready()) return;
    // Who neither slept nor read for others was too fast to be worth a clock.
    if (!me.slept && !progress) continue;
    const SteadyNs now = base::NowNs();
    if (now >= until) return;
    RingIfLate(me, now);
  }
}

bool ClientSession::ReadFrames(const Waiting& me) {
  bool progress = false;
  for (int i = 0; i < kFramesPerTurn && !me.waiter.finished() && !end_.broken(); ++i) {
    const Inbox::Event event = inbox_.Next(message_);
    if (event == Inbox::Event::kEmpty) break;
    progress = true;
    TakeMessage(event);
  }
  if (progress) inbox_.Release();
  return progress;
}

void ClientSession::TakeMessage(Inbox::Event event) try {
  switch (event) {
    case Inbox::Event::kMessage:
      Deliver();
      break;
    case Inbox::Event::kTooLarge:
    case Inbox::Event::kNoMemory:
      Refuse(event);
      break;
    case Inbox::Event::kBroken:
      Break(inbox_.error());
      break;
    default:
      break;
  }
} catch (const std::bad_alloc&) {
  // The message is lost, and with it a call's end, unless all calls end.
  Break(base::NoMemory());
}

void ClientSession::Deliver() {
  ClientCall* call = TakeAnswered();
  if (call == nullptr) return;
  std::swap(call->reply, message_);
  call->Complete();
}

// A reply that this side does not take.
void ClientSession::Refuse(Inbox::Event why) {
  const size_t size = message_.header.message_size;
  const std::string text = why == Inbox::Event::kTooLarge
                               ? absl::StrCat("the reply has ", size, " B, more than ChannelOptions::max_message_size")
                               : absl::StrCat("no memory for a reply of ", size, " B");
  ClientCall* call = TakeAnswered();
  if (call == nullptr) return;
  call->failure = WithExecState(absl::ResourceExhaustedError(text), ExecState::kExecuted);
  call->Complete();
}

// Takes out the call that message_ answers: nullptr if there is none, or message_ is no answer to it.
ClientCall* ClientSession::TakeAnswered() {
  const wire::FrameHeader& header = message_.header;
  if (header.kind != wire::FrameKind::kReply) {
    Break(absl::InternalError(absl::StrCat("expected a reply, got a frame of kind ", static_cast<int>(header.kind))));
    return nullptr;
  }
  ClientCall* call;
  {
    base::MutexLock lock(mutex_);
    call = calls_.Take(header.call_id);
  }
  // Cancelled, or past its deadline: the reply comes too late.
  if (call == nullptr || call->method_id == header.method_id) return call;
  Break(absl::InternalError("a reply carries another method than its call"));
  base::MutexLock lock(mutex_);
  Fail(*call, end_.Failure());
  return nullptr;
}

void ClientSession::WaitForPeer(Waiting& me, SteadyNs until) {
  // It may have been the caller's own frame that went.
  if (outbox_.has_waiting() && Pump()) return;
  const size_t room = outbox_.has_waiting() ? outbox_.RoomWanted() : 0;
  const auto something_to_do = [&] {
    size_t size;
    return me.waiter.finished() || transport_->Peek(size) != transport::Transport::ReadState::kEmpty ||
           (room != 0 && Pump());
  };
  if (peer_wait_.Spin(something_to_do)) return;
  me.slept = true;
  peer_wait_.Sleep(room, std::min(until, late_ring_.When(me)), [&] { return me.waiter.finished() || end_.dead(); });
}

// Sends what fits of what waits. True if anything went.
bool ClientSession::Pump() {
  if (!outbox_.PumpSome()) return false;
  base::MutexLock lock(mutex_);
  PokeNextForSlot();  // fewer bytes wait now
  return true;
}

void ClientSession::RingIfLate(Waiting& waiting, SteadyNs now) {
  if (!late_ring_.IsDue(waiting, now) || transport_->Ring()) return;
  end_.control()->Send({.kind = transport::ControlMessage::Kind::kRing});
}

// --- the end of the connection ---

void ClientSession::Retire() {
  base::MutexLock lock(mutex_);
  // SUBTLE: under the lock. Whoever has a place in the table began before, and nobody gets one afterwards.
  end_.NoteGoingAway();
  // The lock is held, which clang does not see through the list.
  line_.ForEach([this](Waiting& waiting) ABSL_NO_THREAD_SAFETY_ANALYSIS { role_.Tell(waiting); });
  HangUpIfOver();
}

// The server does not know what this side has begun to send; this side knows when nothing is under way any more.
void ClientSession::HangUpIfOver() {
  if (end_.going_away() && calls_.in_use() == 0 && !end_.dead()) end_.HangUp();
}

void ClientSession::FailAll() {
  outbox_.Close();
  base::MutexLock lock(mutex_);
  for (ClientCall* call : calls_.TakeAll()) Fail(*call, base::OrNoMemory([this] { return end_.Failure(); }));
  line_.ForEach([](Waiting& waiting) { waiting.Poke(); });
}

void ClientSession::Break(const absl::Status& violation) {
  if (end_.Break(violation)) WakeReader();
}

// What the transport has not taken yet waits for room, and so must whoever reads: he may be asleep already, for replies
// only.
void ClientSession::WakeReaderForRest() {
  if (outbox_.has_waiting()) WakeReader();
}

void ClientSession::WakeReader() {
  base::MutexLock lock(mutex_);
  role_.InterruptReader();
}

void ClientSession::OnControl(const transport::ControlMessage& message) {
  if (message.kind == transport::ControlMessage::Kind::kGoAway) Retire();
}

void ClientSession::OnPeerGone() {
  end_.NoteGone();
  WakeReader();
}

void ClientSession::OnControlViolation(const char* what) {
  Break(absl::InternalError(what));
}

std::string ClientSession::DebugString() {
  const ServerName& name = server();
  const size_t kept = outbox_.bytes_kept();
  const uint64_t frames_sent = outbox_.frames_sent();
  base::MutexLock lock(mutex_);
  return absl::StrCat("connection to ", name.address, " over ", name.transport, ", server pid ", name.peer.pid, " uid ",
                      name.peer.uid, ": ", calls_.in_use(), " calls in flight, ", frames_sent, " frames sent, ", kept,
                      " B held back", end_.dead() ? ", dead" : "", end_.going_away() ? ", going away" : "");
}

}  // namespace nearcall::session
