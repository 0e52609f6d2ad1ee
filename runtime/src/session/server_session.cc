// SPDX-License-Identifier: Apache-2.0
#include "session/server_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "wire/header.h"

namespace nearcall::session {

namespace {

// Why an element of `size` is not taken.
absl::Status WhyDropped(const ServedClient& client, size_t max_message_size, Inbox::Event event, size_t size) {
  if (event == Inbox::Event::kOverQuota) return client.account()->MemoryRefusal(size);
  if (event == Inbox::Event::kNoMemory) {
    return absl::ResourceExhaustedError(absl::StrCat("the server has no memory for an element of ", size, " B"));
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "an element has ", size, " B, more than ServerOptions::max_message_size (", max_message_size, " B)"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<ServerSession>> ServerSession::Start(transport::Connection connection,
                                                                    const ServerSessionOptions& options,
                                                                    std::shared_ptr<base::Logger> logger,
                                                                    SessionListener::Calls listener,
                                                                    std::shared_ptr<base::Account> account) {
  base::Fd control = std::move(connection.control);
  base::Fd pidfd = std::move(connection.peer_pidfd);
  std::shared_ptr<ServerSession> session(
      new ServerSession(std::move(connection), options, std::move(logger), std::move(listener), std::move(account)));
  absl::StatusOr<std::unique_ptr<transport::ControlChannel>> watched =
      transport::WatchControl(std::move(control), std::move(pidfd), session, options.reactor);
  if (!watched.ok()) return watched.status();
  base::MutexLock lock(session->mutex_);
  session->control_ = *std::move(watched);
  // A violation may have come in before there was anything to hang up.
  if (session->gone_.load(std::memory_order_acquire)) session->control_->HangUp();
  return session;
}

ServerSession::ServerSession(transport::Connection connection, const ServerSessionOptions& options,
                             std::shared_ptr<base::Logger> logger, SessionListener::Calls listener,
                             std::shared_ptr<base::Account> account)
    : client_(connection, std::move(account)),
      transport_(std::move(connection.transport)),
      max_message_size_(options.max_message_size),
      logger_(std::move(logger)),
      outbox_(*transport_, connection.local_id, client_.memory()),
      calls_(options.max_calls),
      listener_(std::move(listener)),
      inbox_(*transport_, client_.id(), options.max_message_size, client_.memory()) {}

Inbox::Event ServerSession::Next(wire::Message& message) {
  const Inbox::Event event = inbox_.Next(message);
  if (event == Inbox::Event::kEmpty || event == Inbox::Event::kProgress) return event;
  if (event == Inbox::Event::kBroken) {
    Break(inbox_.error());
    return event;
  }
  if (message.header.kind == wire::FrameKind::kRequest) return event;
  const auto why_dropped = [this](Inbox::Event what, size_t size) {
    return WhyDropped(client_, max_message_size_, what, size);
  };
  if (absl::Status violation = calls_.Deliver(event, message, why_dropped); !violation.ok()) {
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
  if (message.kind == transport::ControlMessage::Kind::kCancel) calls_.Cancel(message.call_id);
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
  const std::string text = absl::StrCat("protocol violation by client pid ", client_.peer().pid, " uid ",
                                        client_.peer().uid, " (connection ", id(), ", ", transport_->name(),
                                        "): ", violation.message(), "; the connection is closed");
  {
    base::MutexLock lock(mutex_);
    if (!violation_.empty()) return;
    violation_ = text;
  }
  logger_->Log({base::LogKind::kViolation, client_.peer().uid}, LogSeverity::kError, text);
  HangUp();
}

transport::ControlChannel* ServerSession::control() {
  base::MutexLock lock(mutex_);
  return control_.get();
}

void ServerSession::SendGoAway() {
  control()->Send({.kind = transport::ControlMessage::Kind::kGoAway});
}

void ServerSession::HangUp() {
  hung_up_.store(true, std::memory_order_release);
  if (transport::ControlChannel* control = this->control()) control->HangUp();
  if (End()) return;
  // The client had gone before: what it had sent one way ends, too.
  calls_.CancelAll(hung_up());
  listener_.AskToLook();
}

// False: it had ended before.
bool ServerSession::End() {
  if (gone_.exchange(true, std::memory_order_acq_rel)) return false;
  outbox_.Close();
  calls_.CancelAll(hung_up());
  listener_.TellGone();
  return true;
}

std::string ServerSession::DebugString() {
  const size_t kept = outbox_.held().kept();
  const uint64_t frames_sent = outbox_.frames_sent();
  const size_t calls = calls_.count();
  base::MutexLock lock(mutex_);
  return absl::StrCat("connection ", id(), ": ", transport_->name(), ", client pid ", client_.peer().pid, " uid ",
                      client_.peer().uid, ", ", calls, " calls, ", frames_sent, " frames sent, ", kept, " B held back",
                      gone() ? ", gone" : "", violation_.empty() ? "" : absl::StrCat(", ", violation_));
}

}  // namespace nearcall::session
