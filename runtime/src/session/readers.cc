// SPDX-License-Identifier: Apache-2.0
#include "session/readers.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/no_memory.h"
#include "base/returnable.h"
#include "transport/control.h"

namespace nearcall::session {

using base::SteadyNs;
using transport::Transport;

namespace {

// How often the stand-in looks before the user's code has its turn.
constexpr int kLooks = 4;

}  // namespace

void Readers::Wait(Waiting& me, SteadyNs until, Ready ready) {
  if (others_read_) return WaitForOthers(me, until, ready);
  // What comes may be a call to this side, for which there must be a place.
  const base::Returnable::Meanwhile meanwhile(on_sent_ != nullptr);
  const absl::Cleanup leave = [this, &me] { LeaveRole(me); };
  bool reads = false;
  while (!me.waiter.finished() && !ready()) {
    reads = reads || callers_.OfRole([&](ReaderRole& role) { return role.Take(me); });
    if (reads) {
      if (!Read(me, until, ready)) continue;
    } else {
      me.slept = true;
      me.waiter.Wait(std::min(until, late_ring_.When(me)));
    }
    if (me.waiter.finished() || ready()) break;
    const SteadyNs now = base::NowNs();
    if (now >= until) break;
    RingIfLate(me, now);
  }
}

// Who reads pokes whom it concerns.
void Readers::WaitForOthers(Waiting& me, SteadyNs until, Ready ready) {
  std::optional<base::Returnable::Meanwhile> meanwhile;
  while (!me.waiter.finished() && !ready() && base::NowNs() < until) {
    if (!meanwhile) meanwhile.emplace();
    me.slept = true;
    me.waiter.Wait(std::min(until, late_ring_.When(me)));
    RingIfLate(me, base::NowNs());
  }
}

void Readers::LeaveRole(Waiting& me) {
  callers_.OfRole([&](ReaderRole& role) { role.Leave(me); });
}

bool Readers::TryTakeRole(Waiting& me) {
  return callers_.OfRole([&](ReaderRole& role) { return role.TryTake(me); });
}

// One turn of the reader. False: it was too short to be worth a clock, for it has neither slept nor read for others.
bool Readers::Read(Waiting& me, SteadyNs until, Ready ready) {
  Wake();
  const bool was_dead = end_.dead();
  if (Take(me)) return true;
  if (me.waiter.finished() || ready()) return true;
  if (was_dead) {
    EndAll();
    return true;
  }
  WaitForPeer(me, until);
  return me.slept;
}

// The stand-in may have gone to sleep.
void Readers::Wake() {
  if (std::exchange(armed_, false)) transport_.Disarm();
}

bool Readers::Take(const Waiting& me) {
  if (end_.broken() || !receiver_.TakeFrames(me.waiter)) return false;
  if (!receiver_.violation().ok()) Break(receiver_.violation());
  return true;
}

// What the peer published before its end has been read.
void Readers::EndAll() {
  ended_ = true;
  outbox_.Close();
  base::UntilThereIsMemory([this] { callers_.FailAll(); });
}

void Readers::WaitForPeer(Waiting& me, SteadyNs until) {
  // It may have been the caller's own frame that went.
  if (outbox_.has_waiting() && Pump()) return;
  const size_t room = outbox_.has_waiting() ? outbox_.RoomWanted() : 0;
  const auto something_to_do = [&] {
    size_t size;
    return me.waiter.finished() || transport_.Peek(size) != Transport::ReadState::kEmpty || (room != 0 && Pump());
  };
  if (peer_wait_.Spin(something_to_do)) return;
  me.slept = true;
  peer_wait_.Sleep(room, std::min(until, late_ring_.When(me)), [&] { return me.waiter.finished() || end_.dead(); });
}

void Readers::SetStandIn(Waiting* me) {
  if (others_read_) return;
  callers_.OfRole([&](ReaderRole& role) { role.SetStandIn(me); });
}

// Not while the user's code runs: a blocking call in it reads for itself.
void Readers::Look(Waiting& me, bool rung) {
  if (others_read_ || !TryTakeRole(me)) return;
  const absl::Cleanup leave = [this, &me] { LeaveRole(me); };
  if (rung) transport_.ClearBell();
  Wake();
  bool was_dead = end_.dead();
  for (int i = 0; i < kLooks && Take(me); ++i) was_dead = false;
  if (was_dead && !ended_) EndAll();
  if (outbox_.has_waiting()) Pump();
}

bool Readers::Rest(Waiting& me, uint32_t& interest) {
  interest = 0;
  if (others_read_ || !TryTakeRole(me)) return true;
  const absl::Cleanup leave = [this, &me] { LeaveRole(me); };
  if (end_.dead()) return ended_;
  const size_t room = outbox_.has_waiting() ? outbox_.RoomWanted() : 0;
  interest = Transport::kFrames | (room != 0 ? Transport::kRoom : 0u);
  armed_ = !transport_.Arm(interest, room);
  return armed_;
}

bool Readers::Pump() {
  const Outbox::Pumped pumped = outbox_.Pump();
  // Fewer bytes wait now; or, at a side that serves, none does any more.
  if (pumped == Outbox::kSent || (pumped == Outbox::kShown && on_sent_)) callers_.TellNext();
  if (pumped != Outbox::kNothing && on_sent_) on_sent_();
  return pumped != Outbox::kNothing;
}

void Readers::RingIfLate(Waiting& waiting, SteadyNs now) {
  if (!late_ring_.IsDue(waiting, now)) return;
  // Who reads may be stuck in a handler: another one will.
  if (others_read_) return callers_.InterruptReader();
  if (transport_.Ring()) return;
  end_.control()->Send({.kind = transport::ControlMessage::Kind::kRing});
}

void Readers::Break(const absl::Status& violation) {
  if (end_.Break(violation)) callers_.InterruptReader();
}

}  // namespace nearcall::session
