// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/waiter.h"

namespace nearcall::session {

struct WaitsForRole;
struct WaitsInLine;

// Who hears of news where no thread waits for it. Called once for all news since ForgetNews(), by any thread, under the
// session's lock.
class Listener {
 public:
  virtual void OnNews() = 0;

 protected:
  ~Listener() = default;
};

// A thread that waits on a session for something to become true, as long as it waits: for the end of its call, for
// room, for a slot, or for whatever happens to the calls of a CompletionQueue. Lives on that thread's stack, or in the
// queue. The session's lock guards its places in lists; the rest belongs to its thread, but for Poke().
struct Waiting : base::ListNode<WaitsForRole>, base::ListNode<WaitsInLine> {
  // It looks again, for there may be news. By any thread that knows it still exists.
  void Poke() {
    if (listener != nullptr) {
      if (!news.exchange(true, std::memory_order_seq_cst)) listener->OnNews();
      return;
    }
    news.store(true, std::memory_order_seq_cst);
    waiter.Poke();
  }

  bool has_news() const { return news.load(std::memory_order_seq_cst); }
  // Before it looks at what the news is.
  void ForgetNews() { news.store(false, std::memory_order_seq_cst); }

  // What it waits for has been sent at `when`: the watchdog's time runs from there. By any thread.
  void Await(base::SteadyNs when) {
    ring_at.store(0, std::memory_order_relaxed);
    since.store(when, std::memory_order_relaxed);
  }
  // It has come.
  void AwaitNothing() { Await(0); }

  Listener* listener = nullptr;   // set before anybody knows of it: there is no thread to poke
  base::Waiter waiter;            // finished: what it waits for has happened, for good
  std::atomic<bool> news{false};  // it has been poked since it last looked

  size_t line = 0;  // the lane in whose line it stands

  // For the watchdog (LateRing).
  size_t lane = 1;                         // whose usual latency counts
  std::atomic<base::SteadyNs> since{0};    // what it waits for was sent then; 0: nothing was: nothing to ring for
  std::atomic<base::SteadyNs> ring_at{0};  // when to ring the server next; 0: it has not been rung yet
  bool of_stream = false;                  // what it waits for may not come for hours
  bool slept = false;                      // else it was too fast to be worth a clock
};

}  // namespace nearcall::session
