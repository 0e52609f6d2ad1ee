// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/reactor.h"
#include "rpc/client/call_loop.h"
#include "session/client_session.h"
#include "session/completion_queue.h"
#include "session/waiting.h"

namespace nearcall::rpc {

// Has a CallLoop's turns taken in the user's event queue, in place of a thread: whenever there is news for it, when its
// session's descriptors tell of something, and in time. Between two turns it is the stand-in of those who read.
//
// Begin(), End() and Turn() by one thread at a time, which is the queue's but for the end; the rest by any thread.
class QueuedLoop final : public base::Reactor::Target, public session::Listener {
 public:
  QueuedLoop(base::Reactor& reactor, CallLoop& loop, session::CompletionQueue& queue);

  // Has turns from now on. `self` keeps it alive until End().
  void Begin(const std::shared_ptr<base::Reactor::Target>& self);
  // Has none any more, and none is running, unless this is called in one.
  void End();

  // Whether the calling thread is in a turn of it.
  bool InTurn() const { return in_turn_.load(std::memory_order_seq_cst) && reactor_.IsCurrent(); }
  // Whether the calling thread runs the queue.
  bool OnItsThread() const { return reactor_.IsCurrent(); }

  void OnNews() override;

 private:
  void OnReady(uint32_t slot, uint32_t events) override;
  size_t OnTurn(size_t max) override;
  bool Rest(bool had_news);
  void Watch(const std::shared_ptr<session::ClientSession>& session);
  void Unwatch();
  void ListenOnce(uint32_t interest);
  void WakeAt(base::SteadyNs when);
  void ForgetTimer();

  base::Reactor& reactor_;
  CallLoop& loop_;
  session::CompletionQueue& queue_;

  std::atomic<base::Reactor::Id> id_{0};  // 0: it has no turns
  std::atomic<bool> in_turn_{false};      // and looks for news before it rests

  // The turns'.
  std::shared_ptr<session::ClientSession> session_;  // whose descriptors are watched
  bool rung_ = false;
  base::Reactor::Id timer_ = 0;
  base::SteadyNs timer_at_ = base::kNever;
};

}  // namespace nearcall::rpc
