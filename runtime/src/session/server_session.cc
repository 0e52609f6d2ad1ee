// SPDX-License-Identifier: Apache-2.0
#include "session/server_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "session/client_session.h"
#include "wire/header.h"

namespace nearcall::session {

absl::StatusOr<std::shared_ptr<ServerSession>> ServerSession::Start(transport::Connection connection,
                                                                    const ServerSessionOptions& options,
                                                                    std::shared_ptr<base::Logger> logger,
                                                                    SessionListener::Calls listener,
                                                                    std::shared_ptr<base::Account> account) {
  transport::ControlEnd control = connection.TakeControl();
  std::shared_ptr<ServerSession> session(
      new ServerSession(std::move(connection), options, std::move(logger), std::move(listener), std::move(account)));
  absl::StatusOr<std::unique_ptr<transport::ControlChannel>> watched =
      transport::WatchControl(std::move(control), session, options.reactor);
  if (!watched.ok()) return watched.status();
  const auto on_room = [weak = std::weak_ptr(session)] {
    if (const std::shared_ptr<ServerSession> present = weak.lock()) present->listener_.AskToLook();
  };
  if (absl::Status sided = session->side_.Watch(on_room, options.reactor); !sided.ok()) return sided;
  const std::shared_ptr<transport::ControlChannel> channel = *std::move(watched);
  session->back_.set_control(channel);
  session->end_.Attach(channel);
  return session;
}

ServerSession::ServerSession(transport::Connection connection, const ServerSessionOptions& options,
                             std::shared_ptr<base::Logger> logger, SessionListener::Calls listener,
                             std::shared_ptr<base::Account> account)
    : client_(connection, std::move(account)),
      own_side_(std::in_place, connection,
                SideLine::Grant{options.max_descriptors, options.max_attachment_bytes, options.trust_sender},
                client_.shared_account()),
      side_(*own_side_),
      transport_(std::move(connection.transport)),
      logger_(std::move(logger)),
      own_outbox_(std::in_place, *transport_, connection.local_id, client_.memory(), side_.socket()),
      outbox_(*own_outbox_),
      calls_(options.max_calls),
      listener_(std::move(listener)),
      back_({*transport_, outbox_, side_, client_, listener_, options.max_message_size, options.stream_window}, logger_,
            nullptr),
      inbox_(*transport_, {options.max_message_size, options.stream_window}, client_, calls_, side_.letterbox(),
             side_.attachments()) {}

absl::StatusOr<std::shared_ptr<ServerSession>> ServerSession::StartOver(std::shared_ptr<ClientSession> host,
                                                                        const ServedClient& client,
                                                                        const ServerSessionOptions& options,
                                                                        std::shared_ptr<base::Logger> logger,
                                                                        SessionListener::Calls listener) {
  // Guest and host are there for each other as long as the guest is.
  ClientSession& session = *host;
  auto relay = std::make_unique<Relay>(session.transport(), session.outbox(),
                                       [&session] { session.poster().WakeReaderForRest(); });
  if (absl::Status opened = relay->Open(); !opened.ok()) return opened;
  std::shared_ptr<ServerSession> guest(
      new ServerSession(std::move(host), std::move(relay), client, options, std::move(logger), std::move(listener)));
  const std::weak_ptr<ServerSession> weak = guest;
  session.receiver().set_take_served([weak](Inbox::Event event, wire::Message& message) {
    const std::shared_ptr<ServerSession> present = weak.lock();
    return present == nullptr ? absl::OkStatus() : present->inbox_.TakeFromHost(event, message);
  });
  session.readers().set_on_sent([weak, &room = static_cast<Relay&>(*guest->transport_)] {
    if (const std::shared_ptr<ServerSession> present = weak.lock()) room.TellRoom();
  });
  session.guest().Set(weak);
  if (session.end().dead()) guest->OnPeerGone();
  return guest;
}

ServerSession::ServerSession(std::shared_ptr<ClientSession> host, std::unique_ptr<Relay> relay,
                             const ServedClient& client, const ServerSessionOptions& options,
                             std::shared_ptr<base::Logger> logger, SessionListener::Calls listener)
    : client_(client),
      host_(std::move(host)),
      side_(host_->side()),
      transport_(std::move(relay)),
      logger_(std::move(logger)),
      outbox_(host_->outbox()),
      calls_(options.max_calls, [this] { host_->callers().NoteServed(/*begins=*/false); }),
      listener_(std::move(listener)),
      back_({*transport_, outbox_, side_, client_, listener_, options.max_message_size, options.stream_window}, logger_,
            host_),
      inbox_(static_cast<Relay&>(*transport_), host_->callers(), {options.max_message_size, options.stream_window},
             client_, calls_) {}

Inbox::Event ServerSession::Next(wire::Message& message) {
  const Inbox::Event event = inbox_.Next(message);
  if (event == Inbox::Event::kEmpty || event == Inbox::Event::kProgress) return event;
  if (event == Inbox::Event::kBroken) {
    Break(inbox_.error());
    return event;
  }
  const bool theirs = inbox_.IsTheirs(message.header.call_id);
  if (theirs && message.header.kind == wire::FrameKind::kRequest) return event;
  if (absl::Status violation = theirs ? inbox_.Deliver(event, message) : back_.Take(event, message); !violation.ok()) {
    Break(violation);
    return Inbox::Event::kBroken;
  }
  return Inbox::Event::kProgress;
}

bool ServerSession::AddCall(ActiveCall& call) {
  const absl::Status violation = calls_.Add(call);
  if (!violation.ok()) Break(violation);
  return violation.ok();
}

void ServerSession::OnControl(const transport::ControlMessage& message) {
  if (message.kind == transport::ControlMessage::Kind::kRing) return listener_.AskToLook();
  if (message.kind != transport::ControlMessage::Kind::kCancel) return;
  if (inbox_.IsTheirs(message.call_id)) return calls_.Cancel(message.call_id);
  Break(absl::InternalError(absl::StrCat("a cancel of call ", message.call_id, ", which the other side has begun")));
}

std::optional<transport::Progress> ServerSession::OnPing() {
  return listener_.AskForProgress();
}

void ServerSession::OnPeerGone() {
  transport_->OnPeerGone();
  End();
}

void ServerSession::OnControlViolation(const char* what) {
  Break(absl::InternalError(what));
}

void ServerSession::Break(const absl::Status& violation) {
  if (host_ != nullptr) return host_->readers().Break(violation);
  const std::string text = absl::StrCat("protocol violation by client pid ", client_.peer().pid, " uid ",
                                        client_.peer().uid, " (connection ", id(), ", ", transport_->name(),
                                        "): ", violation.message(), "; the connection is closed");
  if (!end_.NoteViolation(text)) return;
  logger_->Log({base::LogKind::kViolation, client_.peer().uid}, LogSeverity::kError, text);
  HangUp();
}

void ServerSession::HangUp() {
  end_.HangUp();
  if (host_ != nullptr) host_->HangUp();
  if (End()) return;
  // The client had gone before: what it had sent one way ends, too.
  calls_.CancelAll(/*one_way_too=*/true);
  listener_.AskToLook();
}

// False: it had ended before.
bool ServerSession::End() {
  if (!end_.End()) return false;
  if (own_outbox_) own_outbox_->Close();
  calls_.CancelAll(end_.hung_up());
  listener_.TellGone();
  return true;
}

std::string ServerSession::DebugString() {
  const size_t kept = outbox_.held().kept();
  const uint64_t frames_sent = outbox_.frames_sent();
  const size_t calls = calls_.count();
  return absl::StrCat("connection ", id(), ": ", transport_->name(), ", client pid ", client_.peer().pid, " uid ",
                      client_.peer().uid, ", ", calls, " calls, ", frames_sent, " frames sent, ", kept, " B held back",
                      end_.DebugString());
}

}  // namespace nearcall::session
