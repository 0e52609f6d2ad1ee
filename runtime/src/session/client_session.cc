// SPDX-License-Identifier: Apache-2.0
#include "session/client_session.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "session/server_session.h"

namespace nearcall::session {

absl::StatusOr<std::shared_ptr<ClientSession>> ClientSession::Start(transport::Connection connection,
                                                                    const ClientSessionOptions& options,
                                                                    std::shared_ptr<base::Logger> logger,
                                                                    std::string address) {
  base::Fd control = std::move(connection.control);
  base::Fd pidfd = std::move(connection.peer_pidfd);
  std::shared_ptr<ClientSession> session(
      new ClientSession(std::move(connection), options, std::move(logger), std::move(address)));
  absl::StatusOr<std::unique_ptr<transport::ControlChannel>> watched =
      transport::WatchControl(std::move(control), std::move(pidfd), session, options.reactor);
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
    : own_side_(std::in_place, connection, base::kMaxMessageDescriptors, nullptr),
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
      receiver_(transport_, connection.peer_id, options.max_message_size, callers_, side_.letterbox()),
      readers_(transport_, end_, outbox_, callers_, receiver_, late_ring_, options.max_spin_ns) {
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
      memory_(accepted.client.memory()),
      end_({std::string(ServerName::kClient), std::string(transport_.name()), accepted.client.peer()},
           std::move(logger)),
      outbox_(accepted.outbox),
      callers_(transport_, outbox_, end_, std::min(accepted.client.granted_calls(), options.max_calls_in_flight),
               options.max_queued_bytes, Callers::Back{.memory = memory_, .stream_cost = options.stream_window}),
      receiver_(callers_),
      readers_(transport_, end_, outbox_, callers_, receiver_, late_ring_, options.max_spin_ns, /*others_read=*/true) {
  end_.Borrow(accepted.control);
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
  if (callers_.Fail(call, absl::CancelledError("the call was cancelled by its caller"))) TellCancelled(call);
}

void ClientSession::TellCancelled(const ClientCall& call) {
  end_.SendCancel(call.id);
}

void ClientSession::Post(const wire::FrameHeader& header, base::Buffer& bytes, Outbox::HandOver when, Flow* flow,
                         std::shared_ptr<const base::Descriptors> descriptors) {
  const size_t size = bytes.size();
  const auto write = [&](std::span<std::byte> to) {
    if (size != 0) std::memcpy(to.data(), bytes.data(), size);
  };
  const bool is_small = GoesInPlace(size, transport_.max_frame_size());
  if (!is_small || header.fd_count != 0 || !outbox_.TrySend(header, size, write, when)) {
    auto message = std::make_unique<Outgoing>(header, size, transport_.max_frame_size());
    if (is_small) {
      // The call keeps it, too: it may have to be made again, over another connection.
      message->kept.Resize(size);
      write(message->kept.bytes());
    } else {
      message->kept = std::move(bytes);
    }
    message->flow = flow;
    message->Enclose(std::move(descriptors));
    if (!TryCharge(*message, size)) {
      const absl::Status failure = absl::ResourceExhaustedError(absl::StrCat(
          "an element of ", size,
          " B waits for room, for which the client's user has none left (ServerOptions::", "max_total_bytes)"));
      callers_.FailStream(header, base::WithExecState(failure, ExecState::kMaybeExecuted)).IgnoreError();
      return;
    }
    outbox_.Keep(std::move(message));
  }
  WakeReaderForRest();
}

// A call has one request, which is paid for in any case, but any number of elements.
bool ClientSession::TryCharge(Outgoing& message, size_t size) {
  if (outbox_.TryCharge(message, size)) return true;
  if (message.fragmenter.kind() == wire::FrameKind::kMessage) return false;
  message.charge.TakeAnyway(memory_, base::Amount::Of(0, size + base::kKeptMessageCost));
  return true;
}

void ClientSession::Publish() {
  readers_.Pump();
  WakeReaderForRest();
}

void ClientSession::WakeReaderForRest() {
  if (outbox_.has_waiting()) callers_.InterruptReader();
}

// --- the end of the connection ---

void ClientSession::OnControl(const transport::ControlMessage& message) {
  if (message.kind == transport::ControlMessage::Kind::kCancel) {
    if (const std::shared_ptr<ServerSession> guest = guest_.Get()) return guest->OnControl(message);
    if (!guest_.was_set()) OnControlViolation("a cancel of a call of the server's, where it was granted none");
  }
  if (message.kind == transport::ControlMessage::Kind::kGoAway) callers_.Retire();
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
                      name.peer.uid, ": ", callers_.in_flight(), " calls in flight, ", outbox_.frames_sent(),
                      " frames sent, ", outbox_.held().kept(), " B held back", end_.dead() ? ", dead" : "",
                      end_.going_away() ? ", going away" : "");
}

}  // namespace nearcall::session
