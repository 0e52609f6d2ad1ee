// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/quota.h"
#include "base/reactor.h"
#include "session/active_call.h"
#include "session/inbox.h"
#include "session/outbox.h"
#include "session/served_calls.h"
#include "transport/connection.h"
#include "transport/control.h"

namespace nearcall::session {

struct ServerSessionOptions {
  size_t max_message_size;
  size_t max_calls;                  // that the client was granted
  base::Reactor* reactor = nullptr;  // that watches its control socket; null: the monitor does
};

// One connection to a client.
//
// Threads: Next(), Release() and the transport's sleeping calls by the poller's leader; everything else by any thread.
// Owned by its poller and by the calls that run for it.
class ServerSession final : public transport::ControlSink {
 public:
  struct Listener {
    // Once, when the connection has ended: the client has hung up or died (on the monitor's thread, perhaps before
    // Start() returns), has broken the protocol, or HangUp() was called (on that thread).
    std::function<void()> on_gone;
    // The client asks to be looked at, over a transport that cannot ring. On the monitor's thread.
    std::function<void()> on_ring;
    // For the answer to a ping: what the server's handlers do. On the monitor's thread.
    std::function<transport::Progress()> on_ping = {};
  };
  // `account`: of the client's user, who pays for what is held for it; may be null.
  static absl::StatusOr<std::shared_ptr<ServerSession>> Start(transport::Connection connection,
                                                              const ServerSessionOptions& options,
                                                              std::shared_ptr<base::Logger> logger, Listener listener,
                                                              std::shared_ptr<base::Account> account = nullptr);
  ~ServerSession() override;

  uint32_t id() const { return id_; }
  transport::Transport& transport() { return *transport_; }
  const PeerIdentity& peer() const { return peer_; }
  base::Account* account() const { return account_.get(); }
  size_t peer_max_message_size() const { return peer_max_message_size_; }
  uint32_t send_window() const { return send_window_; }
  Outbox& outbox() { return outbox_; }

  // Inbox::Next; a violation has been dealt with when it says kBroken. What is for a stream has been brought to it, and
  // is kProgress.
  Inbox::Event Next(wire::Message& message);
  void Release() { inbox_.Release(); }

  // From its being read to its being done with: in calls(). False: the client may not begin it, which has been dealt
  // with; the call has not been added. Calls of a dead connection are cancelled from the start (one-way ones if this
  // side has hung up).
  [[nodiscard]] bool AddCall(ActiveCall& call);
  ServedCalls& calls() { return calls_; }

  bool gone() const { return gone_.load(std::memory_order_acquire); }
  // Gone because of this side. Else what the client has sent one way is still to be done.
  bool hung_up() const { return hung_up_.load(std::memory_order_acquire); }
  // Gone, and the listener has been told. What is to be told must not be detached before.
  bool gone_was_told();

  // From now on the listener is not called and not running. Not from within it.
  void Detach();

  // The poller does not read from this connection, nor is it woken by its client, until replies have gone or calls have
  // ended.
  void WantALook() {
    wants_a_look_.store(true, std::memory_order_seq_cst);
    // Whoever removes a call after this sees it; of those before the poller, who looks again, sees that they are gone.
    calls_.Locked([] {});
  }

  // For whoever has written a reply: what did not fit of it waits for room, but the client may have been asked to ring
  // for its requests only; and what has gone may have been all that the poller waited for.
  bool NeedsALook() { return LookWasWanted() || outbox_.has_waiting(); }
  // For whoever has removed a call.
  bool LookWasWanted() { return wants_a_look_.load(std::memory_order_seq_cst) && wants_a_look_.exchange(false); }
  // As if the client had rung.
  void AskToBeLookedAt();

  void SendGoAway();
  // Cancels the calls and closes the connection; the client's calls end with UNAVAILABLE.
  void HangUp();

  // The client breaks the protocol: the connection ends, the log says why. Once.
  void Break(const absl::Status& violation);

  std::string DebugString();

  // transport::ControlSink
  void OnControl(const transport::ControlMessage& message) override;
  std::optional<transport::Progress> OnPing() override;
  void OnPeerGone() override;
  void OnControlViolation(const char* what) override;

 private:
  ServerSession(transport::Connection connection, const ServerSessionOptions& options,
                std::shared_ptr<base::Logger> logger, Listener listener, std::shared_ptr<base::Account> account);
  absl::Status WhyDropped(Inbox::Event event, size_t size) const;
  transport::ControlChannel* control();
  bool End();

  // Constant after construction.
  const uint32_t id_;
  const std::unique_ptr<transport::Transport> transport_;
  const PeerIdentity peer_;
  const size_t peer_max_message_size_;
  const uint32_t send_window_;
  const size_t max_message_size_;
  const std::shared_ptr<base::Logger> logger_;
  const std::shared_ptr<base::Account> account_;

  // Synchronise themselves.
  Outbox outbox_;
  ServedCalls calls_;
  std::atomic<bool> wants_a_look_{false};
  std::atomic<bool> gone_{false};
  std::atomic<bool> hung_up_{false};

  // The reader's.
  Inbox inbox_;

  base::Mutex listener_mutex_;  // taken before the other; held while the listener is called
  Listener listener_ ABSL_GUARDED_BY(listener_mutex_);
  bool gone_was_told_ ABSL_GUARDED_BY(listener_mutex_) = false;

  base::Mutex mutex_;
  std::unique_ptr<transport::ControlChannel> control_ ABSL_GUARDED_BY(mutex_);  // set once, by Start
  std::string violation_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::session
