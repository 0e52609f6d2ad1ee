// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/lead.h"

#include "base/limits.h"

namespace nearcall::rpc {

Lead::ThreadId Lead::Join() {
  base::MutexLock lock(mutex_);
  ++serving_;
  return ++last_thread_;
}

bool Lead::Leave(ThreadId me) {
  base::MutexLock lock(mutex_);
  const bool led = leader_ == me;
  if (led) leader_ = 0;
  --serving_;
  return led || stopped();
}

Lead::Duty Lead::Next(ThreadId me) {
  base::MutexLock lock(mutex_);
  if (stopped()) return Duty::kLeave;
  if (leader_ == 0) Take(me);
  if (leader_ == me && state_ == State::kWorking) return Duty::kLead;
  // The lead was taken while this thread was in a handler, or about to sleep.
  if (leader_ != me && SomebodyStandsBy()) return Duty::kLeave;
  ++waiting_;
  return Duty::kStandBy;
}

bool Lead::Awake(ThreadId me, bool woken, bool rung) {
  base::MutexLock lock(mutex_);
  --waiting_;
  if (rung) news_.store(true, std::memory_order_release);
  return (woken || has_news()) && Decide(me);
}

void Lead::WakeUp(ThreadId me, bool rung) {
  base::MutexLock lock(mutex_);
  if (rung) news_.store(true, std::memory_order_release);
  Take(me);
}

bool Lead::Decide(ThreadId me) {
  while (!stopped() && leader_ != 0) {
    // The leader sees the news itself.
    if (state_ == State::kWorking) return false;
    // Who is awake leads; a leader that sleeps stands by from now on.
    if (state_ == State::kAsleep) {
      Take(me);
      return false;
    }
    const uint64_t turn = handler_turn_;
    const base::SteadyNs now = base::NowNs();
    const base::SteadyNs stuck_at = handler_since_ + base::kStuckHandlerNs;
    if (now >= stuck_at) {
      if (habit_ != nullptr && now - handler_since_ >= base::kBlockingHandlerNs) habit_->Ran(now - handler_since_);
      Take(me);
      return !SomebodyStandsBy();
    }
    mutex_.Unlock();
    base::SleepUntil(stuck_at);
    mutex_.Lock();
    if (handler_turn_ != turn) return false;
  }
  return false;
}

void Lead::Take(ThreadId me) {
  if (leader_ != me) ++changes_;
  leader_ = me;
  state_ = State::kWorking;
}

bool Lead::SomebodyStandsBy() const {
  // A leader that sleeps is one of those who wait; where there is none, one of them is the next.
  return waiting_ > (state_ == State::kAsleep || leader_ == 0 ? 1 : 0);
}

bool Lead::NoteNews() {
  base::MutexLock lock(mutex_);
  news_.store(true, std::memory_order_release);
  return state_ != State::kWorking;
}

bool Lead::EnterHandler(base::SteadyNs now, BlockingHabit* habit) {
  base::MutexLock lock(mutex_);
  ++in_handlers_;
  habit_ = habit;
  return RunFrom(now);
}

bool Lead::RunFrom(base::SteadyNs now) {
  state_ = State::kInHandler;
  handler_since_ = now;
  ++handler_turn_;
  return has_news();
}

bool Lead::LeaveHandler(ThreadId me) {
  base::MutexLock lock(mutex_);
  --in_handlers_;
  if (leader_ != me) return false;
  state_ = State::kWorking;
  return true;
}

Lead::LedOn Lead::LeadOn(ThreadId me) {
  base::MutexLock lock(mutex_);
  if (stopped() || serving_ == in_handlers_) return LedOn::kNo;
  if (leader_ == me) {
    state_ = State::kWorking;
    return LedOn::kLeads;
  }
  if (state_ != State::kAsleep) return LedOn::kNo;
  Take(me);
  habit_ = nullptr;
  return LedOn::kTakes;
}

bool Lead::GoOn(base::SteadyNs now) {
  base::MutexLock lock(mutex_);
  return RunFrom(now);
}

Lead::Stopped Lead::StopHandler(ThreadId me) {
  base::MutexLock lock(mutex_);
  if (leader_ != me || state_ != State::kInHandler) return Stopped::kNo;
  state_ = State::kWorking;
  return serving_ == in_handlers_ ? Stopped::kAlone : Stopped::kLeads;
}

void Lead::GiveAway() {
  base::MutexLock lock(mutex_);
  leader_ = 0;
  state_ = State::kWorking;
}

bool Lead::FallAsleep() {
  base::MutexLock lock(mutex_);
  return SleepUnlessNews();
}

bool Lead::FallAsleepInHandler() {
  base::MutexLock lock(mutex_);
  if (!SleepUnlessNews()) return false;
  leader_ = 0;
  return true;
}

bool Lead::SleepUnlessNews() {
  if (has_news() || stopped()) return false;
  state_ = State::kAsleep;
  return true;
}

bool Lead::NeedsAnother() const {
  base::MutexLock lock(mutex_);
  return !SomebodyStandsBy();
}

LeadSnapshot Lead::Look() const {
  static constexpr const char* kStates[] = {"working", "in a handler", "asleep"};
  base::MutexLock lock(mutex_);
  return {.state = kStates[static_cast<int>(state_)],
          .serving = serving_,
          .in_handlers = in_handlers_,
          .changes = changes_};
}

}  // namespace nearcall::rpc
