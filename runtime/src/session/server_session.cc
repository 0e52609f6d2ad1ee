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

namespace {

// Why an element of `size` is not taken.
absl::Status WhyDropped(const ServedClient& client, size_t max_message_size, Inbox::Event event, size_t size,
                        const char* options) {
  if (event == Inbox::Event::kOverQuota) return client.account()->MemoryRefusal(size);
  if (event == Inbox::Event::kNoMemory) {
    return absl::ResourceExhaustedError(absl::StrCat("there is no memory for an element of ", size, " B"));
  }
  return absl::ResourceExhaustedError(absl::StrCat("an element has ", size, " B, more than ", options,
                                                   "::max_message_size (", max_message_size, " B)"));
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
  session->back_.set_control(session->control_);
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
      stream_window_(options.stream_window),
      logger_(std::move(logger)),
      own_outbox_(std::in_place, *transport_, connection.local_id, client_.memory()),
      outbox_(*own_outbox_),
      calls_(options.max_calls),
      listener_(std::move(listener)),
      back_({*transport_, outbox_, client_, listener_, max_message_size_, options.stream_window}, logger_, nullptr),
      inbox_(std::in_place, *transport_, client_.id(), options.max_message_size, client_.memory()) {}

absl::StatusOr<std::shared_ptr<ServerSession>> ServerSession::StartOver(std::shared_ptr<ClientSession> host,
                                                                        const ServedClient& client,
                                                                        const ServerSessionOptions& options,
                                                                        std::shared_ptr<base::Logger> logger,
                                                                        SessionListener::Calls listener) {
  // Guest and host are there for each other as long as the guest is.
  ClientSession& session = *host;
  auto relay =
      std::make_unique<Relay>(session.transport(), session.outbox(), [&session] { session.WakeReaderForRest(); });
  if (absl::Status opened = relay->Open(); !opened.ok()) return opened;
  std::shared_ptr<ServerSession> guest(
      new ServerSession(std::move(host), std::move(relay), client, options, std::move(logger), std::move(listener)));
  const std::weak_ptr<ServerSession> weak = guest;
  session.receiver().set_take_served([weak](Inbox::Event event, wire::Message& message) {
    const std::shared_ptr<ServerSession> present = weak.lock();
    return present == nullptr ? absl::OkStatus() : present->TakeFromHost(event, message);
  });
  session.readers().set_on_sent([weak] {
    if (const std::shared_ptr<ServerSession> present = weak.lock()) present->relay_->TellRoom();
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
      transport_(std::move(relay)),
      relay_(static_cast<Relay*>(transport_.get())),
      max_message_size_(options.max_message_size),
      stream_window_(options.stream_window),
      logger_(std::move(logger)),
      outbox_(host_->outbox()),
      calls_(options.max_calls, [this] { host_->callers().NoteServed(/*begins=*/false); }),
      listener_(std::move(listener)),
      back_({*transport_, outbox_, client_, listener_, max_message_size_, options.stream_window}, logger_, host_) {}

Inbox::Event ServerSession::Next(wire::Message& message) {
  const Inbox::Event event = relay_ == nullptr ? inbox_->Next(message) : relay_->Take(message);
  if (event == Inbox::Event::kEmpty || event == Inbox::Event::kProgress) return event;
  if (event == Inbox::Event::kBroken) {
    Break(inbox_->error());
    return event;
  }
  const bool theirs = relay_ != nullptr || IsTheirs(message.header.call_id);
  if (theirs && message.header.kind == wire::FrameKind::kRequest) return event;
  if (absl::Status violation = theirs ? Deliver(event, message) : back_.Take(event, message); !violation.ok()) {
    Break(violation);
    return Inbox::Event::kBroken;
  }
  return Inbox::Event::kProgress;
}

// Whether whom this side serves has begun it.
bool ServerSession::IsTheirs(uint64_t call_id) const {
  return ((call_id & wire::kBegunByAcceptor) != 0) == (relay_ != nullptr);
}

absl::Status ServerSession::Deliver(Inbox::Event event, wire::Message& message) {
  return calls_.Deliver(event, message, [this](Inbox::Event what, size_t size) {
    return WhyDropped(client_, max_message_size_, what, size, relay_ == nullptr ? "ServerOptions" : "ChannelOptions");
  });
}

// All that comes for a call goes the same way, for the call is not known before its request has gone it.
absl::Status ServerSession::TakeFromHost(Inbox::Event event, wire::Message& message) {
  const bool is_request = message.header.kind == wire::FrameKind::kRequest;
  if (absl::Status bounded = CheckRelay(is_request); !bounded.ok()) return bounded;
  const size_t size = message.bytes.size();
  const base::Amount cost = base::Amount::Of(is_request ? 1 : 0, size + (is_request ? base::kCallCost : 0));
  if (event == Inbox::Event::kMessage && !message.charge.TryTake(client_.memory(), cost)) {
    message.bytes = {};
    event = Inbox::Event::kOverQuota;
  }
  if (is_request) host_->callers().NoteServed(/*begins=*/true);
  relay_->Push(event, message);
  return absl::OkStatus();
}

// Whose slots, and whose credit, is looked at when they are taken from there; here only that there are not more of them
// than there could be.
absl::Status ServerSession::CheckRelay(bool is_request) const {
  if (is_request && relay_->requests() >= calls_.max_calls()) {
    return absl::InternalError(absl::StrCat("more than ", calls_.max_calls(), " requests, where as many were granted"));
  }
  constexpr size_t kOthers = 16;  // of a stream: credit, half-close, an element beyond the window
  const size_t most = calls_.max_calls() * (stream_window_ / static_cast<size_t>(kElementCost) + kOthers);
  if (relay_->size() < most) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("more than ", most, " messages at once, which no window allows"));
}

bool ServerSession::AddCall(ActiveCall& call) {
  const absl::Status violation = calls_.Add(call);
  if (!violation.ok()) Break(violation);
  return violation.ok();
}

void ServerSession::OnControl(const transport::ControlMessage& message) {
  if (message.kind == transport::ControlMessage::Kind::kRing) return listener_.AskToLook();
  if (message.kind != transport::ControlMessage::Kind::kCancel) return;
  if (IsTheirs(message.call_id)) return calls_.Cancel(message.call_id);
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
  {
    base::MutexLock lock(mutex_);
    if (!violation_.empty()) return;
    violation_ = text;
  }
  logger_->Log({base::LogKind::kViolation, client_.peer().uid}, LogSeverity::kError, text);
  HangUp();
}

std::shared_ptr<transport::ControlChannel> ServerSession::control() {
  base::MutexLock lock(mutex_);
  return control_;
}

void ServerSession::SendGoAway() {
  control()->Send({.kind = transport::ControlMessage::Kind::kGoAway});
}

void ServerSession::HangUp() {
  hung_up_.store(true, std::memory_order_release);
  if (host_ != nullptr) host_->HangUp();
  if (const auto control = this->control()) control->HangUp();
  if (End()) return;
  // The client had gone before: what it had sent one way ends, too.
  calls_.CancelAll(hung_up());
  listener_.AskToLook();
}

// False: it had ended before.
bool ServerSession::End() {
  if (gone_.exchange(true, std::memory_order_acq_rel)) return false;
  if (own_outbox_) own_outbox_->Close();
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
