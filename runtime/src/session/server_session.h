// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/log.h"
#include "base/quota.h"
#include "base/reactor.h"
#include "session/active_call.h"
#include "session/back_calls.h"
#include "session/inbox.h"
#include "session/outbox.h"
#include "session/relay.h"
#include "session/served_calls.h"
#include "session/served_client.h"
#include "session/served_end.h"
#include "session/served_inbox.h"
#include "session/session_listener.h"
#include "session/side_line.h"
#include "transport/connection.h"
#include "transport/control.h"

namespace nearcall::session {

class ClientSession;

struct ServerSessionOptions {
  size_t max_message_size;
  size_t max_calls;                  // that the client was granted
  uint32_t stream_window = 0;        // likewise
  size_t max_descriptors = 0;        // likewise, with a message
  size_t max_attachment_bytes = 0;   // likewise
  bool trust_sender = false;         // and these may be lent
  base::Reactor* reactor = nullptr;  // that watches its control socket; null: the monitor does
};

// One connection to a client. Or, at the side that has connected, what serves the calls that the server begins: a
// guest, over the connection of its host, whose reader hands it what is for it. Then the "client" is the server.
//
// Threads: Next(), Release() and the transport's sleeping calls by the poller's leader; everything else by any thread.
// Owned by its poller and by the calls that run for it.
class ServerSession final : public transport::ControlSink {
 public:
  // `account`: of the client's user, who pays for what is held for it; may be null.
  static absl::StatusOr<std::shared_ptr<ServerSession>> Start(transport::Connection connection,
                                                              const ServerSessionOptions& options,
                                                              std::shared_ptr<base::Logger> logger,
                                                              SessionListener::Calls listener,
                                                              std::shared_ptr<base::Account> account = nullptr);
  // A guest of `host`, over which nobody has read yet. `client`: the server.
  static absl::StatusOr<std::shared_ptr<ServerSession>> StartOver(std::shared_ptr<ClientSession> host,
                                                                  const ServedClient& client,
                                                                  const ServerSessionOptions& options,
                                                                  std::shared_ptr<base::Logger> logger,
                                                                  SessionListener::Calls listener);

  uint32_t id() const { return client_.id(); }
  const ServedClient& client() const { return client_; }
  // By which its poller sleeps.
  transport::Transport& transport() { return *transport_; }
  Outbox& outbox() { return outbox_; }
  SideLine& side() { return side_; }
  // What this side may begin.
  BackCalls& back() { return back_; }
  SessionListener& listener() { return listener_; }
  ServedEnd& end() { return end_; }

  // Inbox::Next; a violation has been dealt with when it says kBroken. What is for a stream has been brought to it, and
  // is kProgress.
  Inbox::Event Next(wire::Message& message);

  // From its being read to its being done with: in calls(). False: the client may not begin it, which has been dealt
  // with; the call has not been added. Calls of a dead connection are cancelled from the start (one-way ones if this
  // side has hung up).
  [[nodiscard]] bool AddCall(ActiveCall& call);
  ServedCalls& calls() { return calls_; }

  // See SessionListener.
  void WantALook() {
    listener_.WantALook();
    // Whoever removes a call after this sees it; of those before the poller, who looks again, sees that they are gone.
    calls_.Locked([] {});
  }

  // For whoever has written a reply: what did not fit of it waits for room, but the client may have been asked to ring
  // for its requests only; and what has gone may have been all that the poller waited for.
  bool NeedsALook() { return listener_.TakeWanted() || outbox_.has_waiting(); }

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
                std::shared_ptr<base::Logger> logger, SessionListener::Calls listener,
                std::shared_ptr<base::Account> account);
  ServerSession(std::shared_ptr<ClientSession> host, std::unique_ptr<Relay> relay, const ServedClient& client,
                const ServerSessionOptions& options, std::shared_ptr<base::Logger> logger,
                SessionListener::Calls listener);
  bool End();

  // Constant after construction.
  const ServedClient client_;
  const std::shared_ptr<ClientSession> host_;  // null: the connection is its own
  std::optional<SideLine> own_side_;
  SideLine& side_;
  const std::unique_ptr<transport::Transport> transport_;  // a guest's is a Relay
  const std::shared_ptr<base::Logger> logger_;

  // Synchronise themselves.
  std::optional<Outbox> own_outbox_;
  Outbox& outbox_;
  ServedCalls calls_;
  SessionListener listener_;  // its lock is taken before the other
  BackCalls back_;
  ServedEnd end_;

  ServedInbox inbox_;
};

}  // namespace nearcall::session
