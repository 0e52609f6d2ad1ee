// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "transport/control.h"

namespace nearcall::session {

// Who serves a server's session, its poller: he is told of what happens, until he no longer listens.
//
// Thread-safe. He is called under a lock of this: no two calls at a time, and none once Detach() has returned.
class SessionListener {
 public:
  struct Calls {
    // Once, when the connection has ended: the client has hung up or died (on the monitor's thread, perhaps before
    // ServerSession::Start() returns), has broken the protocol, or HangUp() was called (on that thread).
    std::function<void()> on_gone;
    // The client asks to be looked at, over a transport that cannot ring. On the monitor's thread.
    std::function<void()> on_ring;
    // For the answer to a ping: what the server's handlers do. On the monitor's thread.
    std::function<transport::Progress()> on_ping = {};
  };

  explicit SessionListener(Calls calls) : calls_(std::move(calls)) {}
  SessionListener(const SessionListener&) = delete;
  SessionListener& operator=(const SessionListener&) = delete;

  // The connection has ended. Once.
  void TellGone();
  // He has been told. What he is to be told must not be detached before.
  bool was_told_gone();

  // As if the client had rung.
  void AskToLook();
  std::optional<transport::Progress> AskForProgress();

  // He does not read from the connection, nor is he woken by its client, and wants to look again when replies have gone
  // or calls have ended.
  void WantALook() { wants_a_look_.store(true, std::memory_order_seq_cst); }
  // For whoever has brought that about: whether he is to be asked to look. Then he no longer waits for it.
  bool TakeWanted() { return wants_a_look_.load(std::memory_order_seq_cst) && wants_a_look_.exchange(false); }

  // From now on he is not called and not running. Not from within it.
  void Detach();

 private:
  std::atomic<bool> wants_a_look_{false};

  base::Mutex mutex_;  // held while he is called
  Calls calls_ ABSL_GUARDED_BY(mutex_);
  bool was_told_gone_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::session
