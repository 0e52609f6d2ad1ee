// SPDX-License-Identifier: Apache-2.0
#include <cxxabi.h>
#include <sched.h>

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/yield.h"
#include "rpc/server/poller.h"

// Poller: what the leader does.
namespace nearcall::rpc {

namespace {

using session::Inbox;
using transport::Transport;

// Frames taken from one connection before the others have their turn: a bulk transfer does not hold up the small calls
// of other clients.
constexpr int kFramesPerTurn = 16;

// Looking at a connection costs some nanoseconds. With few connections all are looked at before each call, so that an
// urgent request overtakes at once; with many only now and then.
constexpr size_t kFewConnections = 16;
constexpr int kCallsPerHarvest = 16;

// A connection without traffic for so many looks is asked to ring.
constexpr uint32_t kQuietTurns = 2000;

}  // namespace

void Poller::Work(ThreadId me) {
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (mail_waits_.load(std::memory_order_acquire)) ReadMail();
    const bool harvest = queue_.empty() || hot_.size() <= kFewConnections || calls_since_harvest_ >= kCallsPerHarvest;
    const bool progress = harvest && Harvest();
    Ran ran = RunNext(me);
    if (ran == Ran::kNothing && !progress && !queue_.empty()) {
      // No place for a handler. Whoever gives one up from now on wakes this poller; one may have been given just now.
      wants_slot_.store(true, std::memory_order_seq_cst);
      ran = RunNext(me);
    }
    if (ran == Ran::kLostTheLead) return;
    if (ran == Ran::kCall || progress) continue;
    calls_since_harvest_ = kCallsPerHarvest;  // nothing that is here can run: look for more
    if (LookForAWhile()) continue;
    if (GoToSleep()) return;
  }
}

void Poller::ReadMail() {
  Mail mail;
  {
    base::MutexLock lock(mutex_);
    std::swap(mail, mail_);
    mail_waits_.store(false, std::memory_order_relaxed);
  }
  for (auto& session : mail.added) {
    std::unique_ptr<Connection>* place = nullptr;
    base::UntilThereIsMemory([&] { place = &connections_[session->id()]; });
    base::UntilThereIsMemory([&] { *place = std::make_unique<Connection>(); });
    (*place)->session = std::move(session);
    Warm(**place);
  }
  // Who rings may have waited long: its request is read before the next handler starts.
  if (!mail.rung.empty()) calls_since_harvest_ = kCallsPerHarvest;
  for (const uint32_t id : mail.rung) {
    if (const auto found = connections_.find(id); found != connections_.end()) Warm(*found->second);
  }
  for (ServerCallImpl* call : mail.returning) QueueAgain(*call);
  for (const uint32_t id : mail.removed) Drop(id);
}

// One that waits for its place.
void Poller::QueueAgain(ServerCallImpl& call) {
  const auto found = connections_.find(call.session().id());
  if (found != connections_.end() && found->second->session.get() == &call.session()) {
    queue_.Push(found->second->queue, call);
  } else {
    call.EndWaitForPlace(false);
  }
}

void Poller::Warm(Connection& connection) {
  connection.session->transport().ClearBell();
  if (connection.hot) return;
  connection.session->transport().Disarm();
  connection.hot = true;
  connection.quiet_turns = 0;
  base::UntilThereIsMemory([&] { hot_.push_back(&connection); });
}

void Poller::Drop(uint32_t connection_id) {
  const auto found = connections_.find(connection_id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  const Transport::WaitFds fds = connection.session->transport().wait_fds();
  // Explicitly: the client may hold a duplicate, and then closing ours would not end the watch (epoll(7)).
  for (const int fd : {fds.bell, fds.readable, fds.writable}) {
    if (fd >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  queue_.Remove(connection.queue, [this](ServerCallImpl& call) {
    if (call.waits_for_place()) {
      call.EndWaitForPlace(false);
    } else {
      Recycle(std::unique_ptr<ServerCallImpl>(&call));
    }
  });
  std::erase(hot_, &connection);
  const std::shared_ptr<session::ServerSession> session = std::move(connection.session);
  connections_.erase(found);
  {
    base::MutexLock lock(mutex_);
    sessions_.erase(connection_id);
  }
  // Last: its number may be given to another one now.
  session->Detach();
  if (core_.draining.load(std::memory_order_relaxed)) core_.on_drained();
}

bool Poller::Harvest() {
  calls_since_harvest_ = 0;
  bool progress = false;
  size_t kept = 0;
  for (Connection* connection : hot_) {
    if (PumpHeldBack(*connection)) progress = true;
    HoldIfItDoesNotRead(*connection);
    if (MayRead(*connection) && ReadFrom(*connection)) {
      connection->quiet_turns = 0;
      progress = true;
    } else if (++connection->quiet_turns > kQuietTurns && GoesCold(*connection)) {
      continue;
    }
    hot_[kept++] = connection;
  }
  hot_.resize(kept);
  return progress;
}

bool Poller::PumpHeldBack(Connection& connection) {
  session::Outbox& outbox = connection.session->outbox();
  return outbox.has_waiting() && outbox.PumpSome();
}

bool Poller::MayRead(Connection& connection) const {
  return connection.queue.bytes() <= core_.options.max_queued_bytes && !LeavesRepliesLying(connection);
}

// Of a user who has used up what may be held for it already, any reply is too much.
bool Poller::LeavesRepliesLying(const Connection& connection) {
  const size_t kept = connection.session->outbox().cost_kept();
  const base::Account* account = connection.session->account();
  return kept > base::kHeldBackPause || (kept != 0 && account != nullptr && account->memory.exhausted());
}

// Who leaves replies lying gets no others made: what has been read of his requests already could be a thousand.
void Poller::HoldIfItDoesNotRead(Connection& connection) {
  queue_.Hold(connection.queue, LeavesRepliesLying(connection));
}

bool Poller::ReadFrom(Connection& connection) {
  session::ServerSession& session = *connection.session;
  size_t size;
  if (session.transport().Peek(size) == Transport::ReadState::kEmpty || session.gone()) return false;
  try {
    int frames = 0;
    do {
      ++frames;
    } while (ReadFrame(connection) && frames < kFramesPerTurn);
  } catch (const std::bad_alloc&) {
    // What has been taken of it is lost.
    session.HangUp();
  }
  session.Release();
  return true;
}

// False: there is none.
bool Poller::ReadFrame(Connection& connection) {
  std::unique_ptr<ServerCallImpl> call = NewCall();
  const Inbox::Event event = connection.session->Next(call->message());
  if (event == Inbox::Event::kBroken) core_.violations.fetch_add(1, std::memory_order_relaxed);
  if (event != Inbox::Event::kEmpty && event != Inbox::Event::kBroken && event != Inbox::Event::kProgress) {
    AcceptCall(connection, std::move(call), event);
    return true;
  }
  call->message().charge.Release();  // it may have been none that a client sends
  free_calls_.push_back(std::move(call));
  return event == Inbox::Event::kProgress;
}

void Poller::AcceptCall(Connection& connection, std::unique_ptr<ServerCallImpl> call, Inbox::Event event) {
  if (!call->Accept(connection.session, base::NowNs())) {
    core_.violations.fetch_add(1, std::memory_order_relaxed);
    return Recycle(std::move(call));
  }
  const absl::Status refusal = base::OrNoMemory([&] { return WhyRefused(connection, *call, event); });
  if (refusal.ok()) {
    queue_.Push(connection.queue, *call.release());
  } else {
    call->Refuse(refusal, ExecState::kNotStarted);
    Recycle(std::move(call));
  }
}

absl::Status Poller::WhyRefused(const Connection& connection, ServerCallImpl& call, Inbox::Event event) const {
  const size_t size = call.message().header.message_size;
  if (event == Inbox::Event::kAborted) return absl::CancelledError("its caller has given the request up");
  if (event == Inbox::Event::kTooLarge) {
    return absl::ResourceExhaustedError(absl::StrCat("the request has ", size,
                                                     " B, more than ServerOptions::max_message_size (",
                                                     core_.options.max_message_size, " B)"));
  }
  if (event == Inbox::Event::kNoMemory) {
    return absl::ResourceExhaustedError(absl::StrCat("the server has no memory for a request of ", size, " B"));
  }
  if (core_.draining.load(std::memory_order_acquire)) {
    return absl::UnavailableError("the server is shutting down");
  }
  if (event == Inbox::Event::kOverQuota) return connection.session->account()->MemoryRefusal(size);
  return call.AdmitStream();
}

std::unique_ptr<ServerCallImpl> Poller::NewCall() {
  if (free_calls_.empty()) return std::make_unique<ServerCallImpl>(core_, *this);
  std::unique_ptr<ServerCallImpl> call = std::move(free_calls_.back());
  free_calls_.pop_back();
  return call;
}

void Poller::Recycle(std::unique_ptr<ServerCallImpl> call) {
  call->Reset();
  call->message().bytes.Trim(base::kDefaultRingSize);
  if (free_calls_.size() < kMaxFreeCalls) free_calls_.push_back(std::move(call));
}

Poller::Ran Poller::RunNext(ThreadId me) {
  if (queue_.empty()) return Ran::kNothing;
  const base::SteadyNs now = base::NowNs();
  std::unique_ptr<ServerCallImpl> call(queue_.Pop(now, core_.slots));
  if (call == nullptr) return Ran::kNothing;
  wants_slot_.store(false, std::memory_order_relaxed);
  ++calls_since_harvest_;
  if (call->waits_for_place()) {
    call.release()->EndWaitForPlace(true);  // its thread owns it
    return Ran::kCall;
  }
  call->GivePlace();
  if (!call->may_block() && !call->streams()) return RunInline(me, std::move(call), now);
  ServerCallImpl* raw = call.get();
  const absl::Status started = core_.threads.TryRun([this, raw] { RunOnWorker(std::unique_ptr<ServerCallImpl>(raw)); });
  if (started.ok()) {
    static_cast<void>(call.release());  // the worker owns it
  } else if (call->streams()) {
    // Not on this thread: the handler may wait for what only the leader can read.
    RefuseStream(std::move(call), started);
  } else {
    return RunInline(me, std::move(call), now);
  }
  return Ran::kCall;
}

void Poller::RefuseStream(std::unique_ptr<ServerCallImpl> call, const absl::Status& status) {
  core_.slots.Give(call->session().account());
  core_.on_slot_given();
  call->Refuse(status, ExecState::kNotStarted);
  Recycle(std::move(call));
}

Poller::Ran Poller::RunInline(ThreadId me, std::unique_ptr<ServerCallImpl> call, base::SteadyNs now) {
  bool unread_mail;
  {
    base::MutexLock lock(mutex_);
    state_ = State::kInHandler;
    handler_since_ = now;
    ++handler_turn_;
    unread_mail = mail_waits_.load(std::memory_order_relaxed);
  }
  // Whoever brought the mail left it to the leader, who was at work. Now somebody has to see whether this handler gets
  // stuck.
  if (unread_mail) Wake();
  try {
    call->Run();
  } catch (abi::__forced_unwind&) {
    HandlerEnded(me, std::move(call));
    throw;
  }
  return HandlerEnded(me, std::move(call)) ? Ran::kCall : Ran::kLostTheLead;
}

// Whether this thread still leads.
bool Poller::HandlerEnded(ThreadId me, std::unique_ptr<ServerCallImpl> call) {
  core_.slots.Give(call->session().account());
  bool leads;
  {
    base::MutexLock lock(mutex_);
    leads = leader_ == me;
    if (leads) state_ = State::kWorking;
  }
  LookAgainAt(call->session());
  if (!call->Drop()) {
    static_cast<void>(call.release());  // whoever answers it owns it
  } else if (leads) {
    Recycle(std::move(call));
  } else {
    call->Reset();
  }
  core_.on_slot_given();
  return leads;
}

void Poller::RunOnWorker(std::unique_ptr<ServerCallImpl> call) {
  try {
    call->Run();
  } catch (abi::__forced_unwind&) {
    WorkerEnded(std::move(call));
    throw;
  }
  WorkerEnded(std::move(call));
}

void Poller::WorkerEnded(std::unique_ptr<ServerCallImpl> call) {
  // Lives as long as the server.
  base::Account* const account = call->session().account();
  const bool has_place = call->has_place();
  LookAgainAt(call->session());
  if (call->Drop()) {
    call->Reset();
  } else {
    static_cast<void>(call.release());  // whoever answers it owns it
  }
  if (!has_place) return;
  core_.slots.Give(account);
  core_.on_slot_given();
}

bool Poller::SomethingToDo() {
  if (mail_waits_.load(std::memory_order_acquire)) return true;
  for (Connection* connection : hot_) {
    size_t size;
    if (MayRead(*connection) && connection->session->transport().Peek(size) != Transport::ReadState::kEmpty)
      return true;
    if (PumpHeldBack(*connection)) return true;
  }
  return false;
}

// Spins for the next request. Only while some client is awake on another CPU; one that is just being woken may have
// been put on this one, and gets it.
bool Poller::LookForAWhile() {
  if (hot_.empty() || core_.options.max_spin <= absl::ZeroDuration()) return SomethingToDo();
  const int here = ::sched_getcpu();
  bool elsewhere = false;
  bool waking = false;
  const auto look_at_peers = [&] {
    elsewhere = waking = false;
    for (Connection* connection : hot_) {
      const Transport& transport = connection->session->transport();
      if (!transport.can_spin()) continue;
      const int cpu = transport.peer_cpu();
      if (cpu < 0) waking = true;
      if (cpu >= 0 && cpu != here) elsewhere = true;
    }
  };
  look_at_peers();
  if (!elsewhere && waking) {
    base::YieldUntil(
        [&] {
          look_at_peers();
          return elsewhere || !waking || SomethingToDo();
        },
        spin_.max_spin_ns());
  }
  return elsewhere ? spin_.Spin([this] { return SomethingToDo(); }) : SomethingToDo();
}

// Asks a quiet connection to ring. False: there is something after all.
bool Poller::GoesCold(Connection& connection) {
  const size_t room = connection.session->outbox().RoomWanted();
  const uint32_t interest = (MayRead(connection) ? Transport::kFrames : 0u) | (room != 0 ? Transport::kRoom : 0u);
  // What it waits for is a handler of its own requests, or a thread that is just writing the reply which those held
  // back must follow: it stays here until then. (It may have come about just now: see GoToSleep.)
  if (interest == 0) {
    connection.session->WantALook();
    return false;
  }
  connection.quiet_turns = 0;
  connection.hot = connection.session->transport().Arm(interest, room);
  if (!connection.hot) WatchUntilNews(*connection.session, interest);
  return !connection.hot;
}

// True: every connection will ring, and this thread goes to wait in epoll.
bool Poller::GoToSleep() {
  bool something = false;
  std::erase_if(hot_, [&](Connection* connection) {
    if (GoesCold(*connection)) return true;
    if (connection->session->outbox().RoomWanted() != 0 || MayRead(*connection)) something = true;
    return false;
  });
  if (something) return false;
  base::MutexLock lock(mutex_);
  if (mail_waits_.load(std::memory_order_relaxed) || stopping_.load(std::memory_order_relaxed)) return false;
  state_ = State::kAsleep;
  return true;
}

}  // namespace nearcall::rpc
