// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/lead.h"

#include "base/limits.h"

namespace nearcall::rpc {

using Does = Leader::Does;

Lead::ThreadId Lead::Join() {
  base::MutexLock lock(mutex_);
  ++threads_.serving;
  return ++threads_.joined;
}

bool Lead::Leave(ThreadId me) {
  base::MutexLock lock(mutex_);
  const bool led = leader_.id == me;
  if (led) leader_.id = 0;
  --threads_.serving;
  return led || stopped();
}

Lead::Duty Lead::Next(ThreadId me) {
  base::MutexLock lock(mutex_);
  if (stopped()) return Duty::kLeave;
  if (leader_.id == 0) leader_.Become(me);
  if (leader_.id == me && leader_.does == Does::kWork) return Duty::kLead;
  // The lead was taken while this thread was in a handler, or about to sleep.
  if (leader_.id != me && SomebodyStandsBy()) return Duty::kLeave;
  ++threads_.waiting;
  return Duty::kStandBy;
}

bool Lead::Awake(ThreadId me, bool woken, bool rung) {
  base::MutexLock lock(mutex_);
  --threads_.waiting;
  if (rung) news_.store(true, std::memory_order_release);
  return (woken || has_news()) && Decide(me);
}

void Lead::WakeUp(ThreadId me, bool rung) {
  base::MutexLock lock(mutex_);
  if (rung) news_.store(true, std::memory_order_release);
  leader_.Become(me);
}

bool Lead::Decide(ThreadId me) {
  while (!stopped() && leader_.id != 0) {
    // The leader sees the news itself.
    if (leader_.does == Does::kWork) return false;
    // Who is awake leads; a leader that sleeps stands by from now on.
    if (leader_.does == Does::kSleep) {
      leader_.Become(me);
      return false;
    }
    const uint64_t turn = leader_.handler_turn;
    const base::SteadyNs now = base::NowNs();
    const base::SteadyNs stuck_at = leader_.handler_since + base::kStuckHandlerNs;
    if (now >= stuck_at) {
      const int64_t ran_ns = now - leader_.handler_since;
      if (leader_.habit != nullptr && ran_ns >= base::kBlockingHandlerNs) leader_.habit->Ran(ran_ns);
      leader_.Become(me);
      return !SomebodyStandsBy();
    }
    mutex_.Unlock();
    base::SleepUntil(stuck_at);
    mutex_.Lock();
    if (leader_.handler_turn != turn) return false;
  }
  return false;
}

bool Lead::SomebodyStandsBy() const {
  // A leader that sleeps is one of those who wait; where there is none, one of them is the next.
  return threads_.waiting > (leader_.does == Does::kSleep || leader_.id == 0 ? 1 : 0);
}

bool Lead::NoteNews() {
  base::MutexLock lock(mutex_);
  news_.store(true, std::memory_order_release);
  return leader_.does != Does::kWork;
}

bool Lead::EnterHandler(base::SteadyNs now, BlockingHabit* habit) {
  base::MutexLock lock(mutex_);
  ++threads_.in_handlers;
  leader_.habit = habit;
  leader_.RunHandler(now);
  return has_news();
}

bool Lead::LeaveHandler(ThreadId me) {
  base::MutexLock lock(mutex_);
  --threads_.in_handlers;
  if (leader_.id != me) return false;
  leader_.does = Does::kWork;
  return true;
}

Lead::LedOn Lead::LeadOn(ThreadId me) {
  base::MutexLock lock(mutex_);
  if (stopped() || threads_.serving == threads_.in_handlers) return LedOn::kNo;
  if (leader_.id == me) {
    leader_.does = Does::kWork;
    return LedOn::kLeads;
  }
  if (leader_.does != Does::kSleep) return LedOn::kNo;
  leader_.Become(me);
  leader_.habit = nullptr;
  return LedOn::kTakes;
}

bool Lead::GoOn(base::SteadyNs now) {
  base::MutexLock lock(mutex_);
  leader_.RunHandler(now);
  return has_news();
}

Lead::Stopped Lead::StopHandler(ThreadId me) {
  base::MutexLock lock(mutex_);
  if (leader_.id != me || leader_.does != Does::kRunHandler) return Stopped::kNo;
  leader_.does = Does::kWork;
  return threads_.serving == threads_.in_handlers ? Stopped::kAlone : Stopped::kLeads;
}

void Lead::GiveAway() {
  base::MutexLock lock(mutex_);
  leader_.id = 0;
  leader_.does = Does::kWork;
}

bool Lead::FallAsleep() {
  base::MutexLock lock(mutex_);
  return SleepUnlessNews();
}

bool Lead::FallAsleepInHandler() {
  base::MutexLock lock(mutex_);
  if (!SleepUnlessNews()) return false;
  leader_.id = 0;
  return true;
}

bool Lead::SleepUnlessNews() {
  if (has_news() || stopped()) return false;
  leader_.does = Does::kSleep;
  return true;
}

bool Lead::NeedsAnother() const {
  base::MutexLock lock(mutex_);
  return !SomebodyStandsBy();
}

LeadSnapshot Lead::Look() const {
  static constexpr const char* kStates[] = {"working", "in a handler", "asleep"};
  base::MutexLock lock(mutex_);
  return {.state = kStates[static_cast<int>(leader_.does)],
          .serving = threads_.serving,
          .in_handlers = threads_.in_handlers,
          .changes = leader_.changes};
}

}  // namespace nearcall::rpc
