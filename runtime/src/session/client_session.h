// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/reactor.h"
#include "session/callers.h"
#include "session/client_call.h"
#include "session/connection_end.h"
#include "session/guest.h"
#include "session/keepalive.h"
#include "session/outbox.h"
#include "session/poster.h"
#include "session/readers.h"
#include "session/receiver.h"
#include "session/served_client.h"
#include "session/server_name.h"
#include "session/side_line.h"
#include "transport/connection.h"
#include "transport/control.h"

namespace nearcall::session {

struct ClientSessionOptions {
  size_t max_message_size;
  size_t max_calls_in_flight;
  size_t max_queued_bytes;
  int64_t max_spin_ns;
  uint32_t stream_window = 0;       // what the server was granted
  size_t max_attachment_bytes = 0;  // likewise, with a message
  bool trust_sender = false;        // and these may be lent
  KeepaliveTimes keepalive = {};
  std::function<void()> on_end = {};  // no new calls may begin any more: on any thread, under locks, perhaps repeated
  base::Reactor* reactor = nullptr;   // watches the server's end; null: the monitor does
};

// What both sides have agreed on in the handshake.
struct SessionTerms {
  size_t peer_max_message_size;
  // How far either side may be ahead in a stream.
  uint32_t send_window;
  uint32_t receive_window;
  bool server_wants_method_names = false;  // in each request
};

// One connection to a server, put together from its parts. No thread of its own: those who wait elect one of themselves
// to read for all. The reader hands the others the bytes of their replies, and passes the role to the one who has
// waited longest when its own reply has come or its time is up. One of these may be the thread that waits for all
// asynchronous calls (CompletionQueue).
//
// The way of a blocking call is WaitingCall's. That of an asynchronous one: callers().TryBegin, poster().Post; while
// calls are in flight, readers().Wait; when it comes out of its queue, callers().Release.
//
// At the side that has accepted a connection it is for the calls that this side begins (BackCalls): then it borrows
// what the session that serves there has, and does not read.
//
// Thread-safe. Owned by the channel that made it and by the calls that use it.
class ClientSession final : public transport::ControlSink, public std::enable_shared_from_this<ClientSession> {
 public:
  struct Accepted {
    transport::Transport& transport;
    Outbox& outbox;
    SideLine& side;
    std::shared_ptr<transport::ControlChannel> control;
    const ServedClient& client;
  };
  static absl::StatusOr<std::shared_ptr<ClientSession>> Start(transport::Connection connection,
                                                              const ClientSessionOptions& options,
                                                              std::shared_ptr<base::Logger> logger,
                                                              std::string address);
  // What is borrowed outlives it.
  ClientSession(const Accepted& accepted, const ClientSessionOptions& options, std::shared_ptr<base::Logger> logger);

  Callers& callers() { return callers_; }
  Outbox& outbox() { return outbox_; }
  SideLine& side() { return side_; }
  const SideLine& side() const { return side_; }
  ConnectionEnd& end() { return end_; }
  const ConnectionEnd& end() const { return end_; }
  Readers& readers() { return readers_; }
  Poster& poster() { return poster_; }
  Receiver& receiver() { return receiver_; }
  Guest& guest() { return guest_; }
  const transport::Transport& transport() const { return transport_; }
  const SessionTerms& terms() const { return terms_; }

  // Whether new calls may begin here: not broken, not hung up, not told to go away.
  bool usable() const { return end_.usable(); }

  // DEADLINE_EXCEEDED, for a call in whose time `what` has not come; with what pings have told of the server meanwhile.
  absl::Status Late(absl::string_view what, const ClientCall& call);

  // Ends the call with CANCELLED, unless it has ended, and tells the server. Any thread, as long as the call exists;
  // before it begins too.
  void Cancel(ClientCall& call);

  // This side ends the connection.
  void HangUp();

  std::string DebugString();

  // transport::ControlSink
  void OnControl(const transport::ControlMessage& message) override;
  void OnPeerGone() override;
  void OnControlViolation(const char* what) override;

 private:
  ClientSession(transport::Connection connection, const ClientSessionOptions& options,
                std::shared_ptr<base::Logger> logger, std::string address);

  void EndWithServer();
  void OnEnd();

  std::optional<SideLine> own_side_;
  SideLine& side_;
  const std::unique_ptr<transport::Transport> own_transport_;
  transport::Transport& transport_;
  const SessionTerms terms_;

  // Synchronise themselves.
  const std::function<void()> on_end_;
  Guest guest_;
  ConnectionEnd end_;
  std::optional<Outbox> own_outbox_;
  Outbox& outbox_;
  Callers callers_;

  Receiver receiver_;  // the reader's only
  Readers readers_;
  Poster poster_;

  // Synchronises itself. Uses those above.
  std::optional<Keepalive> keepalive_;
};

}  // namespace nearcall::session
