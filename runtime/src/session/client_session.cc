// SPDX-License-Identifier: Apache-2.0
#include "session/client_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "session/server_session.h"

namespace nearcall::session {

absl::StatusOr<std::shared_ptr<ClientSession>> ClientSession::Start(transport::Connection connection,
                                                                    const ClientSessionOptions& options,
                                                                    std::shared_ptr<base::Logger> logger,
                                                                    std::string address) {
  transport::ControlEnd control = connection.TakeControl();
  std::shared_ptr<ClientSession> session(
      new ClientSession(std::move(connection), options, std::move(logger), std::move(address)));
  absl::StatusOr<std::unique_ptr<transport::ControlChannel>> watched =
      transport::WatchControl(std::move(control), session, options.reactor);
  if (!watched.ok()) return watched.status();
  const auto on_room = [weak = std::weak_ptr(session)] {
    if (const std::shared_ptr<ClientSession> present = weak.lock()) present->callers_.InterruptReader();
  };
  if (absl::Status sided = session->side_.Watch(on_room, options.reactor); !sided.ok()) return sided;
  // A violation, or a go-away, may have come in before.
  session->end_.Attach(*std::move(watched));
  if (session->keepalive_) session->keepalive_->Start(session);
  return session;
}

ClientSession::ClientSession(transport::Connection connection, const ClientSessionOptions& options,
                             std::shared_ptr<base::Logger> logger, std::string address)
    : own_side_(std::in_place, connection,
                SideLine::Grant{base::kMaxMessageDescriptors, options.max_attachment_bytes, options.trust_sender},
                nullptr),
      side_(*own_side_),
      own_transport_(std::move(connection.transport)),
      transport_(*own_transport_),
      terms_{.peer_max_message_size = connection.peer_terms.max_message_size,
             .send_window = connection.peer_terms.stream_window,
             .receive_window = options.stream_window,
             .server_wants_method_names = connection.peer_wants_method_names},
      on_end_(options.on_end),
      end_(
          {std::move(address), std::string(transport_.name()), connection.peer}, std::move(logger), [this] { OnEnd(); },
          std::move(connection.child)),
      own_outbox_(std::in_place, transport_, connection.local_id, nullptr, side_.socket()),
      outbox_(*own_outbox_),
      callers_(transport_, outbox_, end_,
               std::clamp<size_t>(connection.peer_terms.max_calls_in_flight, 1, options.max_calls_in_flight),
               options.max_queued_bytes),
      receiver_(transport_, connection.peer_id, options.max_message_size, callers_, side_.letterbox(),
                side_.attachments()),
      readers_(transport_, end_, outbox_, callers_, receiver_, options.max_spin_ns),
      poster_(transport_, outbox_, callers_, readers_, nullptr) {
  if (options.keepalive.interval_ns != 0) {
    keepalive_.emplace(options.keepalive, end_, callers_, receiver_, options.reactor);
  }
  // Awake, and where.
  transport_.Disarm();
}

ClientSession::ClientSession(const Accepted& accepted, const ClientSessionOptions& options,
                             std::shared_ptr<base::Logger> logger)
    : side_(accepted.side),
      transport_(accepted.transport),
      terms_{.peer_max_message_size = accepted.client.max_message_size(),
             .send_window = accepted.client.send_window(),
             .receive_window = options.stream_window},
      end_({std::string(ServerName::kClient), std::string(transport_.name()), accepted.client.peer()},
           std::move(logger)),
      outbox_(accepted.outbox),
      callers_(transport_, outbox_, end_, std::min(accepted.client.granted_calls(), options.max_calls_in_flight),
               options.max_queued_bytes,
               Callers::Back{.memory = accepted.client.memory(), .stream_cost = options.stream_window}),
      receiver_(callers_),
      readers_(transport_, end_, outbox_, callers_, receiver_, options.max_spin_ns, /*others_read=*/true),
      poster_(transport_, outbox_, callers_, readers_, accepted.client.memory()) {
  end_.Attach(accepted.control, ConnectionEnd::Hold::kBorrowed);
}

// A guest ends with its host. (Under locks, perhaps repeated.)
void ClientSession::OnEnd() {
  if (on_end_) on_end_();
  if (!end_.dead()) return;
  if (const std::shared_ptr<ServerSession> guest = guest_.Get()) guest->OnPeerGone();
}

// --- calls ---

absl::Status ClientSession::Late(absl::string_view what, const ClientCall& call) {
  return end_.server().Late(what, keepalive_ ? keepalive_->Told(call.started) : "");
}

void ClientSession::Cancel(ClientCall& call) {
  if (callers_.Fail(call, absl::CancelledError("the call was cancelled by its caller"))) end_.SendCancel(call.id);
}

// --- the end of the connection ---

void ClientSession::OnControl(const transport::ControlMessage& message) {
  if (message.kind == transport::ControlMessage::Kind::kCancel) {
    if (const std::shared_ptr<ServerSession> guest = guest_.Get()) return guest->OnControl(message);
    if (!guest_.was_set()) OnControlViolation("a cancel of a call of the server's, where it was granted none");
  }
  if (message.kind == transport::ControlMessage::Kind::kGoAway) callers_.Retire();
  if (message.kind == transport::ControlMessage::Kind::kRing) {
    // What nobody waits for is read all the same.
    Waiting unfinished;
    readers_.Look(unfinished, /*rung=*/false);
  }
  if (message.kind == transport::ControlMessage::Kind::kPong && keepalive_) keepalive_->OnPong(message);
}

// A child that has hung up has hardly more to do than to end: no call begins any more, and those that have begun hear
// how it has.
void ClientSession::OnPeerGone() {
  transport::Child* const child = end_.child();
  if (child == nullptr) return EndWithServer();
  callers_.Retire();
  child->AwaitFate([weak = weak_from_this()] {
    const std::shared_ptr<ClientSession> session = weak.lock();
    if (session == nullptr) return;
    session->EndWithServer();
    session->end_.LogFate();
  });
}

void ClientSession::EndWithServer() {
  transport_.OnPeerGone();
  end_.NoteGone();
  callers_.InterruptReader();
}

void ClientSession::HangUp() {
  end_.HangUp();
  callers_.InterruptReader();
}

void ClientSession::OnControlViolation(const char* what) {
  readers_.Break(absl::InternalError(what));
}

std::string ClientSession::DebugString() {
  const ServerName& name = end_.server();
  return absl::StrCat("connection to ", name.address, " over ", name.transport, ", server pid ", name.peer.pid, " uid ",
                      name.peer.uid, ": ", callers_.slots().in_use, " calls in flight, ", outbox_.frames_sent(),
                      " frames sent, ", outbox_.held().kept(), " B held back", end_.dead() ? ", dead" : "",
                      end_.going_away() ? ", going away" : "");
}

}  // namespace nearcall::session
