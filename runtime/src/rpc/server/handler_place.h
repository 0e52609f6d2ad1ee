// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thread>

#include "base/returnable.h"
#include "base/waiter.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "rpc/server/turn.h"
#include "session/waiting.h"

namespace nearcall::rpc {

class HandlerPlace;

// What a handler's thread does for others while it waits for its stream.
class StreamWait {
 public:
  // Until there is news, or something else is to be done, or nothing comes.
  virtual void LeadOnUntil(const session::Waiting& waiting) = 0;

 protected:
  ~StreamWait() = default;
};

// Whoever gives handlers their places.
class Places {
 public:
  // The handler of `request`, which has waited without its `place`, gets one again: in its lane, when it is its turn.
  // Waits for it. False: there will be none, for its connection has ended.
  virtual bool TakeAgain(const Request& request, HandlerPlace& place) = 0;

  // `turn`, of a call that has begun, waits in the dispatch queue from now on. Any thread, under any lock but its own;
  // allocates nothing.
  virtual void Queue(Turn& turn) = 0;

 protected:
  ~Places() = default;
};

// The place of a call's handler among those that run, which it has not while it waits for its stream. Part of its call;
// used by the thread that runs the handler, but for what is said.
class HandlerPlace final : public Turn, public base::Returnable {
 public:
  HandlerPlace(ServerCore& core, Places& places, const Request& request, IncomingCall& its_call)
      : Turn(Kind::kPlace, its_call), core_(core), places_(places), request_(request) {}

  Places& places() const { return places_; }

  // It has been taken for the call.
  void Give() { held_ = true; }
  bool held() const { return held_; }
  // The handler runs on this thread from now on.
  void BeginHandler() { runs_on_ = std::this_thread::get_id(); }
  // While its handler runs on a thread that leads.
  void set_stream_wait(StreamWait* wait) { stream_wait_ = wait; }

  // Until it is poked. Gives the place back meanwhile, if it has to sleep. (Other threads than the handler's have
  // none.)
  void WaitFor(session::Waiting& waiting);

  // Waits in the dispatch queue until somebody, on another thread, calls EndWait().
  Turn& BeginWait(base::Waiter& waiter);
  void EndWait(bool has_place);
  void Run() override { EndWait(true); }

 private:
  void Leave();
  void TakeAgain();

  // base::Returnable, by the handler's thread
  void Return() override;
  void TakeBack() override;

  ServerCore& core_;
  Places& places_;
  const Request& request_;
  bool held_ = false;
  bool returned_ = false;
  std::thread::id runs_on_;
  StreamWait* stream_wait_ = nullptr;
  base::Waiter* waiter_ = nullptr;  // of the thread that waits for the place
};

}  // namespace nearcall::rpc
