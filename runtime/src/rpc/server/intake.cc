// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/intake.h"

#include <sched.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/yield.h"
#include "rpc/server/refusal.h"

namespace nearcall::rpc {

namespace {

using session::Inbox;
using transport::Transport;

// Frames taken from one connection before the others have their turn: a bulk transfer does not hold up the small calls
// of other clients.
constexpr int kFramesPerTurn = 16;

// Looking at a connection costs some nanoseconds. With few connections all are looked at before each turn, so that an
// urgent request overtakes at once; with many only now and then.
constexpr size_t kFewConnections = 16;
constexpr int kTurnsPerHarvest = 16;

// A connection without traffic for so many looks is asked to ring.
constexpr uint32_t kQuietTurns = 2000;

}  // namespace

Intake::Intake(ServerCore& core, Bells& bells, CallPool& calls)
    : core_(core),
      bells_(bells),
      calls_(calls),
      spin_(absl::ToInt64Nanoseconds(std::max(core.options.max_spin, absl::ZeroDuration()))) {}

void Intake::Add(std::shared_ptr<session::ServerSession> session) {
  std::unique_ptr<Connection>* place = nullptr;
  base::UntilThereIsMemory([&] { place = &connections_[session->id()]; });
  base::UntilThereIsMemory([&] { *place = std::make_unique<Connection>(); });
  (*place)->session = std::move(session);
  Warm(**place);
}

void Intake::Warm(uint32_t connection_id) {
  if (const auto found = connections_.find(connection_id); found != connections_.end()) Warm(*found->second);
}

void Intake::Warm(Connection& connection) {
  connection.session->transport().ClearBell();
  if (connection.hot) return;
  connection.session->transport().Disarm();
  connection.hot = true;
  connection.quiet_turns = 0;
  base::UntilThereIsMemory([&] { hot_.push_back(&connection); });
}

std::shared_ptr<session::ServerSession> Intake::Remove(uint32_t connection_id) {
  const auto found = connections_.find(connection_id);
  if (found == connections_.end()) return nullptr;
  Connection& connection = *found->second;
  bells_.Remove(*connection.session);
  GiveUp(connection);
  connection.leaving = true;
  if (!connection.has_left()) {
    Warm(connection);
    return nullptr;
  }
  std::erase(hot_, &connection);
  std::shared_ptr<session::ServerSession> session = std::move(connection.session);
  connections_.erase(found);
  return session;
}

// All that is read of it and has not begun, but what was sent one way, unless this side has hung up. Handlers that are
// suspended go on, and find that their calls have ended.
void Intake::GiveUp(Connection& connection) {
  connection.given_up = connection.session->end().hung_up();
  base::List<Turn, InLane> others;
  queue_.Remove(connection.queue, [&](Turn& turn) {
    if (turn.kind == Turn::Kind::kPlace) {
      turn.call.place().EndWait(false);
    } else if (turn.kind == Turn::Kind::kOperation || (turn.call.one_way() && !connection.given_up)) {
      others.PushBack(turn);
    } else {
      calls_.Recycle(std::unique_ptr<IncomingCall>(&turn.call));
    }
  });
  while (Turn* turn = others.PopFront()) queue_.Push(connection.queue, *turn);
}

std::optional<uint32_t> Intake::NextThatHasLeft() {
  if (left_.empty()) return std::nullopt;
  const uint32_t id = left_.back();
  left_.pop_back();
  return id;
}

void Intake::Clear() {
  hot_.clear();
  for (auto& [id, connection] : connections_) {
    queue_.Remove(connection->queue, [](Turn& turn) {
      // (None waits for its place: the server has ended, so all handlers have.)
      turn.call.Reset();
      delete &turn.call;
    });
  }
  connections_.clear();
}

// Of a connection that has left, only threads ask for places: no operation waits any more once its calls have been
// cancelled, and until then it is here.
void Intake::Queue(Turn& turn) {
  const session::ServerSession* const session = turn.call.request().session.get();
  const auto found = connections_.find(session->id());
  const bool here = found != connections_.end() && found->second->session.get() == session;
  NEARCALL_CHECK(here || turn.kind == Turn::Kind::kPlace);
  if (here && (turn.kind == Turn::Kind::kOperation || !found->second->leaving)) {
    queue_.Push(found->second->queue, turn);
  } else {
    turn.call.place().EndWait(false);
  }
}

bool Intake::IsDue() const {
  return queue_.empty() || hot_.size() <= kFewConnections || turns_since_harvest_ >= kTurnsPerHarvest;
}

void Intake::BeDue() {
  turns_since_harvest_ = kTurnsPerHarvest;
}

bool Intake::Harvest() {
  turns_since_harvest_ = 0;
  just_read_ = 0;
  bool progress = false;
  size_t kept = 0;
  for (Connection* connection : hot_) {
    if (connection->PumpHeldBack()) progress = true;
    HoldIfItDoesNotRead(*connection);
    if (MayRead(*connection) && ReadFrom(*connection)) {
      connection->quiet_turns = 0;
      progress = true;
    } else if (connection->leaving) {
      if (connection->session->end().hung_up() && !connection->given_up) GiveUp(*connection);
      // Nothing of what its client had sent is there to be read; or it waits for handlers that may wait for this.
      connection->session->back().End();
      if (connection->has_left()) base::UntilThereIsMemory([&] { left_.push_back(connection->session->id()); });
    } else if (++connection->quiet_turns > kQuietTurns && GoesCold(*connection)) {
      continue;
    }
    hot_[kept++] = connection;
  }
  hot_.resize(kept);
  return progress;
}

Turn* Intake::Next(base::SteadyNs now) {
  Turn* const turn = queue_.Pop(now, core_.slots);
  if (turn != nullptr) ++turns_since_harvest_;
  return turn;
}

bool Intake::IsAlone(const session::ServerSession& session) const {
  return queue_.empty() && std::all_of(hot_.begin(), hot_.end(), [&](const Connection* connection) {
           return connection->session.get() == &session;
         });
}

bool Intake::MayRead(const Connection& connection) const {
  return connection.may_be_read(core_.options.max_queued_bytes);
}

// Who leaves replies lying gets no others made: what has been read of his requests already could be a thousand.
void Intake::HoldIfItDoesNotRead(Connection& connection) {
  queue_.Hold(connection.queue, connection.leaves_replies_lying());
}

bool Intake::ReadFrom(Connection& connection) {
  session::ServerSession& session = *connection.session;
  size_t size;
  if (session.transport().Peek(size) == Transport::ReadState::kEmpty || session.end().hung_up()) return false;
  try {
    int frames = 0;
    do {
      ++frames;
      if (connection.leaving) --connection.frames_left;
    } while (ReadFrame(connection) && frames < kFramesPerTurn && connection.frames_left != 0);
  } catch (const std::bad_alloc&) {
    // What has been taken of it is lost.
    session.HangUp();
  }
  session.transport().Release();
  return true;
}

// False: there is none.
bool Intake::ReadFrame(Connection& connection) {
  std::unique_ptr<IncomingCall> call = calls_.Take();
  const Inbox::Event event = connection.session->Next(call->request().message);
  if (event != Inbox::Event::kEmpty) just_read_ = 0;
  if (event == Inbox::Event::kBroken) core_.violations.fetch_add(1, std::memory_order_relaxed);
  if (event != Inbox::Event::kEmpty && event != Inbox::Event::kBroken && event != Inbox::Event::kProgress) {
    Accept(connection, std::move(call), event);
    return true;
  }
  call->request().message.charge.Release();  // it may have been none that a client sends
  call->request().message.descriptors.Clear();
  call->request().message.attachments.Clear();
  calls_.PutBack(std::move(call));
  return event == Inbox::Event::kProgress;
}

void Intake::Accept(Connection& connection, std::unique_ptr<IncomingCall> call, Inbox::Event event) {
  just_read_ = base::NowNs();
  if (!call->Accept(connection.session, just_read_)) {
    core_.violations.fetch_add(1, std::memory_order_relaxed);
    return calls_.Recycle(std::move(call));
  }
  const absl::Status refusal = base::OrNoMemory([&] { return WhyRefused(core_, *call, event); });
  if (refusal.ok()) {
    queue_.Push(connection.queue, call.release()->turn());
  } else {
    call->Refuse(refusal, ExecState::kNotStarted);
    calls_.Recycle(std::move(call));
  }
}

bool Intake::SomethingToDo() {
  for (Connection* connection : hot_) {
    size_t size;
    if (MayRead(*connection) && connection->session->transport().Peek(size) != Transport::ReadState::kEmpty)
      return true;
    if (connection->PumpHeldBack()) return true;
  }
  return false;
}

// Spins for the next request. Only while some client is awake on another CPU; one that is just being woken may have
// been put on this one, and gets it.
bool Intake::LookForAWhile(absl::FunctionRef<bool()> also) {
  const auto look = [&] { return also() || SomethingToDo(); };
  if (hot_.empty() || core_.options.max_spin <= absl::ZeroDuration()) return look();
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
          return elsewhere || !waking || look();
        },
        spin_.max_spin_ns());
  }
  return elsewhere ? spin_.Spin(look) : look();
}

// Asks a quiet connection to ring. False: there is something after all.
bool Intake::GoesCold(Connection& connection) {
  const size_t room = connection.session->outbox().RoomWanted();
  if (connection.leaving) return false;  // nobody rings for it
  const uint32_t interest = (MayRead(connection) ? Transport::kFrames : 0u) | (room != 0 ? Transport::kRoom : 0u);
  // What it waits for is a handler of its own requests, or a thread that is just writing the reply which those held
  // back must follow: it stays here until then. (It may have come about just now: see ArmAll.)
  if (interest == 0) {
    connection.session->WantALook();
    return false;
  }
  connection.quiet_turns = 0;
  connection.hot = connection.session->transport().Arm(interest, room);
  if (!connection.hot) bells_.ListenOnce(*connection.session, interest);
  return !connection.hot;
}

bool Intake::ArmAll() {
  bool something = false;
  std::erase_if(hot_, [&](Connection* connection) {
    if (GoesCold(*connection)) return true;
    if (connection->leaving) return false;
    if (connection->session->outbox().RoomWanted() != 0 || MayRead(*connection)) something = true;
    return false;
  });
  return !something;
}

}  // namespace nearcall::rpc
