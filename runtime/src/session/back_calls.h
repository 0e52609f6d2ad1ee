// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/log.h"
#include "base/mutex.h"
#include "session/inbox.h"
#include "session/outbox.h"
#include "session/served_client.h"
#include "session/session_listener.h"
#include "session/side_line.h"
#include "session/waiting.h"
#include "transport/control.h"
#include "transport/transport.h"
#include "wire/reassembler.h"

namespace nearcall::session {

class ClientSession;

// The calls that a session's own side begins to whom it serves. At the side that has accepted the connection they have
// a session of their own, made when the first one is wanted: it begins and ends calls as a client's does, but does not
// read. The poller that reads brings it what comes. At the other side they are the host's, and nothing is done here.
//
// Thread-safe where nothing else is said.
class BackCalls final : public Listener {
 public:
  struct Connection {
    transport::Transport& transport;
    Outbox& outbox;
    SideLine& side;
    const ServedClient& client;
    SessionListener& listener;
    size_t max_message_size;
    uint32_t stream_window;  // that the client was granted
  };
  BackCalls(const Connection& connection, std::shared_ptr<base::Logger> logger, std::shared_ptr<ClientSession> host);
  BackCalls(const BackCalls&) = delete;
  BackCalls& operator=(const BackCalls&) = delete;
  ~BackCalls();

  // Before anything else.
  void set_control(std::shared_ptr<transport::ControlChannel> control) { control_ = std::move(control); }

  // The same one each time. nullptr: the client serves nothing. `keeper`: whoever has this, and lives as long as what
  // is returned.
  std::shared_ptr<ClientSession> Session(const std::shared_ptr<void>& keeper);

  // By who reads: of a call with wire::kBegunByAcceptor. INTERNAL: it must not come.
  absl::Status Take(Inbox::Event event, wire::Message& message);
  // Something that waited in the outbox has gone.
  void OnSent();
  // The connection has ended, and all that came before that has been read. Harmless when repeated.
  void End();

 private:
  // Listener: somebody has left what waits to who reads.
  void OnNews() override;
  ClientSession* made();

  const Connection connection_;
  const std::shared_ptr<base::Logger> logger_;
  const std::shared_ptr<ClientSession> host_;  // null at the side that has accepted the connection
  std::shared_ptr<transport::ControlChannel> control_;
  Waiting stand_in_;

  base::Mutex mutex_;
  std::unique_ptr<ClientSession> session_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::session
