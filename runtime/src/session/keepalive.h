// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "session/callers.h"
#include "session/connection_end.h"
#include "session/pulse.h"
#include "session/receiver.h"
#include "transport/control.h"

namespace nearcall::session {

struct KeepaliveTimes {
  int64_t interval_ns = 0;  // from an answer to the next ping; 0: there are none
  int64_t timeout_ns = 0;
  bool without_calls = false;
};

// Asks a server again and again whether it lives, and ends the connection to one that gives no sign of life: neither an
// answer to the ping, nor anything else. That its handlers hang is told, and ends nothing: any of them may be one that
// takes long.
//
// Its timer runs where control messages are heard. Thread-safe. Owned by its session.
class Keepalive {
 public:
  // `reactor`: null: the monitor.
  Keepalive(const KeepaliveTimes& times, ConnectionEnd& end, Callers& callers, const Receiver& receiver,
            base::Reactor* reactor)
      : times_(times), end_(end), callers_(callers), receiver_(receiver), reactor_(reactor) {}

  // Once, when there is a control socket. `owner`: nothing is done any more when it has gone.
  void Start(std::weak_ptr<const void> owner);

  // Where control messages are heard.
  void OnPong(const transport::ControlMessage& pong);

  // Pulse::Told.
  std::string Told(base::SteadyNs since);

 private:
  void OnTimer(base::SteadyNs due);
  void Arm(base::SteadyNs when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveUp();

  const KeepaliveTimes times_;
  ConnectionEnd& end_;
  Callers& callers_;
  const Receiver& receiver_;
  base::Reactor* const reactor_;
  std::weak_ptr<const void> owner_;  // set before the first timer

  base::Mutex mutex_;
  Pulse pulse_ ABSL_GUARDED_BY(mutex_);
  uint64_t taken_at_ping_ ABSL_GUARDED_BY(mutex_) = 0;  // Receiver::times_taken
  std::unique_ptr<transport::Timer> timer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::session
