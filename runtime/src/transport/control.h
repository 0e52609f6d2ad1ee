// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/reactor.h"

namespace nearcall::transport {

// How far a server has come with its calls. Of two that are alike it is not known that anything has gone on between.
struct Progress {
  uint32_t handlers_started = 0;  // ever, modulo 2^32
  uint16_t handlers_running = 0;  // or more

  friend bool operator==(const Progress&, const Progress&) = default;
};

// What travels on the control socket after the handshake: fixed 16-byte messages. No calls.
struct ControlMessage {
  // kRing: "look at what I have sent", of a client whose transport cannot ring.
  enum class Kind : uint8_t { kCancel = 1, kGoAway = 2, kPing = 3, kPong = 4, kRing = 5 };
  Kind kind = Kind::kPing;
  uint64_t call_id = 0;                   // kCancel; kPing and kPong: an opaque number
  std::optional<Progress> progress = {};  // kPong, of a server that says it
};

// What a session hears from its peer beside frames. Called on the monitor's thread, one at a time, no lock held; must
// not block. After OnPeerGone(), which comes at most once, nothing further is called. Pings are answered by the monitor
// itself.
class ControlSink {
 public:
  virtual ~ControlSink() = default;
  virtual void OnControl(const ControlMessage& message) = 0;
  // For the answer to a ping: what a server says of itself.
  virtual std::optional<Progress> OnPing() { return std::nullopt; }
  virtual void OnPeerGone() = 0;                          // hung up or died; all that it had sent was reported before
  virtual void OnControlViolation(const char* what) = 0;  // then OnPeerGone
};

// One connection's control socket under watch. Send() from any thread, never blocks; what the socket does not take at
// once is kept (bounded) and sent by the monitor. The destructor ends the watch and hangs up: after it returns the sink
// is not called and no call is running (except when it is destroyed from within its own sink's callback). Destroyed by
// a thread that holds no lock which a callback takes. In a fork()ed child Send() and HangUp() do nothing and the
// destructor only closes: the connection is the parent's.
class ControlChannel {
 public:
  virtual ~ControlChannel() = default;
  virtual void Send(const ControlMessage& message) = 0;
  // Hangs up now; the peer sees the end, after what was sent. No callback begins afterwards; one may be running. Any
  // thread.
  virtual void HangUp() = 0;
};

// `reactor`: of the user's event queue, which outlives what it watches. Null: the monitor, the one process-wide object:
// a thread that watches control sockets and pidfds, and runs timers. It starts with the first use and ends when the
// last user is gone. A forked child starts its own; what it inherited is inert. `sink` is kept as a weak reference: it
// may be dropped at any time. It may be called before WatchControl() has returned. RESOURCE_EXHAUSTED if there is no
// thread or descriptor for the monitor.
absl::StatusOr<std::unique_ptr<ControlChannel>> WatchControl(base::Fd control, base::Fd peer_pidfd,
                                                             std::weak_ptr<ControlSink> sink,
                                                             base::Reactor* reactor = nullptr);

// How control messages travel where there is no socket for them: between the frames. They are heard when those before
// them are read, and by who reads; the peer has gone when it holds its end no more, whether or not it is dead.
class InBandControl {
 public:
  virtual ~InBandControl() = default;
  // As WatchControl(). Once, before the transport is read.
  virtual absl::StatusOr<std::unique_ptr<ControlChannel>> Watch(std::weak_ptr<ControlSink> sink,
                                                                base::Reactor* reactor) = 0;
};

// What a connection has for it.
struct ControlEnd {
  base::Fd socket = {};
  base::Fd peer_pidfd = {};
  std::unique_ptr<InBandControl> in_band = {};  // null: there is a socket
};
absl::StatusOr<std::unique_ptr<ControlChannel>> WatchControl(ControlEnd end, std::weak_ptr<ControlSink> sink,
                                                             base::Reactor* reactor = nullptr);

// Destroying it cancels it: after that the callback does not start, and is not running (except when destroyed from
// within).
class Timer {
 public:
  virtual ~Timer() = default;
};

// Runs `callback` once at `when`, where control messages are heard; it must not block. Errors as WatchControl(): none
// as long as the process has a ControlChannel or another Timer; with a reactor none.
absl::StatusOr<std::unique_ptr<Timer>> StartTimer(base::SteadyNs when, std::function<void()> callback,
                                                  base::Reactor* reactor = nullptr);

}  // namespace nearcall::transport
