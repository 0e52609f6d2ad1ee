// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "rpc/server/blocking_habit.h"
#include "rpc/server/leader.h"

namespace nearcall::rpc {

struct LeadSnapshot {
  const char* state;   // for people
  size_t serving;      // threads
  size_t in_handlers;  // of these
  uint64_t changes;    // of who leads

  // Who could lead. (One that is just leaving leaves another one that waits.)
  size_t free_threads() const { return serving - in_handlers; }
};

// Who of a poller's threads leads: it alone reads, and uses what belongs to the leader. The others stand by in epoll,
// where the kernel wakes the one that fell asleep last. A thread that is woken while the leader sleeps takes the lead;
// one that is woken while the leader is in a handler waits until that has run for kStuckHandlerNs, and then takes the
// lead, too. The old leader finds that out when its handler returns, or waits, and stands by or leaves.
//
// A leader whose handler waits leads on, or gives the lead away: to nobody, where every connection will ring and
// another thread is there to be woken; else to whoever is woken next.
//
// Thread-safe.
class Lead {
 public:
  using ThreadId = uint64_t;  // 0: none
  enum class Duty { kLead, kStandBy, kLeave };

  // A thread begins to serve, and ends that.
  ThreadId Join();
  // True: somebody is to be woken, for it led.
  [[nodiscard]] bool Leave(ThreadId me);

  // What `me` is to do now. It takes the lead if nobody has it. kStandBy: it goes to wait in epoll, and says afterwards
  // that it is awake. kLeave: another one stands by, and one is enough.
  Duty Next(ThreadId me);
  // `woken`: by an event; `rung`: which is news. Takes the lead, if it is time. True: nobody stands by any more;
  // another thread is needed.
  [[nodiscard]] bool Awake(ThreadId me, bool woken, bool rung);

  // Of a poller without threads: whoever has taken the part of its only one is awake, and leads. `rung`: which is news.
  void WakeUp(ThreadId me, bool rung);

  // There is something that the leader does not see by itself. True: somebody is to be woken, for it.
  [[nodiscard]] bool NoteNews();
  bool has_news() const { return news_.load(std::memory_order_acquire); }
  // By the leader, before it looks at what it is.
  void ForgetNews() { news_.store(false, std::memory_order_relaxed); }

  // The leader begins to run a handler, of a method with that habit. True: there is news, and somebody is to be woken:
  // whoever brought it left it to the leader, who was at work.
  [[nodiscard]] bool EnterHandler(base::SteadyNs now, BlockingHabit* habit);
  // It has returned. Whether `me` leads still.
  [[nodiscard]] bool LeaveHandler(ThreadId me);

  // The handler that `me` runs waits. kLeads: the leader goes on leading; kTakes: the leader slept, and now it is `me`.
  enum class LedOn { kNo, kLeads, kTakes };
  [[nodiscard]] LedOn LeadOn(ThreadId me);
  // What it has waited for has come: as EnterHandler().
  [[nodiscard]] bool GoOn(base::SteadyNs now);

  // The handler that `me` runs is about to block. kLeads: `me` leads, and is to give the lead away. kAlone: once there
  // is another thread; if there will be none it goes on.
  enum class Stopped { kNo, kLeads, kAlone };
  [[nodiscard]] Stopped StopHandler(ThreadId me);
  // The leader, whose handler waits, leads no more. Somebody is to be woken.
  void GiveAway();

  // The leader, who has found nothing to do, and whom every connection will ring, sleeps: false if there is news. In a
  // handler that waits, it gives the lead away by that.
  [[nodiscard]] bool FallAsleep();
  [[nodiscard]] bool FallAsleepInHandler();
  // Whether a thread is missing that stands by.
  bool NeedsAnother() const;

  void Stop() { stopped_.store(true, std::memory_order_seq_cst); }
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

  LeadSnapshot Look() const;

 private:
  struct Threads {
    uint64_t joined = 0;  // ever
    size_t serving = 0;   // between Join and Leave
    size_t waiting = 0;   // of these, in epoll
    size_t in_handlers = 0;
  };

  bool SomebodyStandsBy() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Decide(ThreadId me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SleepUnlessNews() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<bool> news_{false};
  std::atomic<bool> stopped_{false};

  mutable base::Mutex mutex_;
  Leader leader_ ABSL_GUARDED_BY(mutex_);
  Threads threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
