// SPDX-License-Identifier: Apache-2.0
#include "session/server_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "wire/header.h"

namespace nearcall::session {

absl::StatusOr<std::shared_ptr<ServerSession>> ServerSession::Start(transport::Connection connection,
                                                                    const ServerSessionOptions& options,
                                                                    std::shared_ptr<base::Logger> logger,
                                                                    Listener listener,
                                                                    std::shared_ptr<base::Account> account) {
  base::Fd control = std::move(connection.control);
  base::Fd pidfd = std::move(connection.peer_pidfd);
  std::shared_ptr<ServerSession> session(
      new ServerSession(std::move(connection), options, std::move(logger), std::move(listener), std::move(account)));
  absl::StatusOr<std::unique_ptr<transport::ControlChannel>> watched =
      transport::WatchControl(std::move(control), std::move(pidfd), session);
  if (!watched.ok()) return watched.status();
  base::MutexLock lock(session->mutex_);
  session->control_ = *std::move(watched);
  // A violation may have come in before there was anything to hang up.
  if (session->gone_.load(std::memory_order_acquire)) session->control_->HangUp();
  return session;
}

ServerSession::ServerSession(transport::Connection connection, const ServerSessionOptions& options,
                             std::shared_ptr<base::Logger> logger, Listener listener,
                             std::shared_ptr<base::Account> account)
    : id_(connection.peer_id),
      transport_(std::move(connection.transport)),
      peer_(connection.peer),
      peer_max_message_size_(connection.peer_terms.max_message_size),
      send_window_(connection.peer_terms.stream_window),
      max_message_size_(options.max_message_size),
      max_calls_(options.max_calls),
      logger_(std::move(logger)),
      account_(std::move(account)),
      outbox_(*transport_, connection.local_id, account_ == nullptr ? nullptr : &account_->memory),
      inbox_(*transport_, connection.peer_id, options.max_message_size,
             account_ == nullptr ? nullptr : &account_->memory),
      listener_(std::move(listener)) {}

ServerSession::~ServerSession() = default;

Inbox::Event ServerSession::Next(wire::Message& message) {
  const Inbox::Event event = inbox_.Next(message);
  if (event == Inbox::Event::kEmpty || event == Inbox::Event::kProgress) return event;
  if (event == Inbox::Event::kBroken) {
    Break(inbox_.error());
    return event;
  }
  if (message.header.kind == wire::FrameKind::kRequest) return event;
  if (absl::Status violation = TakeForStream(event, message); !violation.ok()) {
    Break(violation);
    return Inbox::Event::kBroken;
  }
  return Inbox::Event::kProgress;
}

// Of a call that has been answered nothing is wanted any more.
absl::Status ServerSession::TakeForStream(Inbox::Event event, wire::Message& message) {
  const wire::FrameHeader& header = message.header;
  const auto violation = [&](absl::string_view what) {
    return absl::InternalError(absl::StrCat("expected a request, got a frame of kind ", static_cast<int>(header.kind),
                                            " for call ", header.call_id, what));
  };
  if (header.kind == wire::FrameKind::kReply) return violation("");
  base::MutexLock lock(mutex_);
  Slot* const slot = SlotOf(header.call_id);
  if (slot == nullptr) return violation(", whose slot was not granted");
  ActiveCall* const call = slot->call;
  if (call == nullptr || call->call_id() != header.call_id || call->slot_is_free()) return absl::OkStatus();
  if (call->method_id() != header.method_id) return violation(", of another method");
  if (call->stream() == nullptr) return violation(", which does not stream");
  if (event == Inbox::Event::kMessage) return call->stream()->Take(message);
  // Who gives an element up has given the call up.
  if (event == Inbox::Event::kAborted) return absl::OkStatus();
  call->stream()->Fail(WhyDropped(event, header.message_size));
  call->MarkCancelled();
  return absl::OkStatus();
}

absl::Status ServerSession::WhyDropped(Inbox::Event event, size_t size) const {
  if (event == Inbox::Event::kOverQuota) return account_->MemoryRefusal(size);
  if (event == Inbox::Event::kNoMemory) {
    return absl::ResourceExhaustedError(absl::StrCat("the server has no memory for an element of ", size, " B"));
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "an element has ", size, " B, more than ServerOptions::max_message_size (", max_message_size_, " B)"));
}

size_t ServerSession::streams() {
  base::MutexLock lock(mutex_);
  return stream_count_;
}

bool ServerSession::AddCall(ActiveCall& call) {
  absl::Status violation;
  {
    base::MutexLock lock(mutex_);
    violation = TakeSlot(call);
    if (violation.ok()) {
      calls_.PushBack(call);
      ++call_count_;
      if (call.stream() != nullptr) ++stream_count_;
      if (gone() && (hung_up() || !call.one_way())) call.MarkCancelled();
    }
  }
  if (!violation.ok()) Break(violation);
  return violation.ok();
}

absl::Status ServerSession::TakeSlot(ActiveCall& call) {
  Slot* const slot = SlotOf(call.call_id());
  if (slot == nullptr) {
    return absl::InternalError(absl::StrCat("call ", call.call_id(), " has slot ", wire::SlotOf(call.call_id()),
                                            ", where ", max_calls_, " slots were granted"));
  }
  if (slot->call != nullptr && !slot->call->slot_is_free()) {
    return absl::InternalError(absl::StrCat("call ", call.call_id(), " begins in the slot of call ",
                                            slot->call->call_id(), ", which has not been answered"));
  }
  slot->call = &call;
  if (std::exchange(slot->early_cancel, 0) == call.call_id()) call.MarkCancelled();
  return absl::OkStatus();
}

// nullptr: the client has none of that number.
ServerSession::Slot* ServerSession::SlotOf(uint64_t call_id) {
  const size_t index = wire::SlotOf(call_id);
  if (index >= max_calls_) return nullptr;
  if (index >= slots_.size()) slots_.resize(index + 1);
  return &slots_[index];
}

void ServerSession::RemoveCall(ActiveCall& call) {
  base::MutexLock lock(mutex_);
  call.Unlink();
  --call_count_;
  if (call.stream() != nullptr) --stream_count_;
  Slot& slot = slots_[wire::SlotOf(call.call_id())];
  if (slot.call == &call) slot.call = nullptr;
}

void ServerSession::OnControl(const transport::ControlMessage& message) {
  if (message.kind == transport::ControlMessage::Kind::kRing) return AskToBeLookedAt();
  if (message.kind == transport::ControlMessage::Kind::kCancel) Cancel(message.call_id);
}

std::optional<transport::Progress> ServerSession::OnPing() {
  base::MutexLock lock(listener_mutex_);
  if (!listener_.on_ping) return std::nullopt;
  return listener_.on_ping();
}

void ServerSession::Cancel(uint64_t call_id) {
  base::MutexLock lock(mutex_);
  Slot* const slot = SlotOf(call_id);
  if (slot == nullptr) return;  // none that it could begin
  if (slot->call != nullptr && slot->call->call_id() == call_id) {
    slot->call->MarkCancelled();
  } else {
    // Its request may still stand in the transport. (Or it has been answered already.)
    slot->early_cancel = std::max(slot->early_cancel, call_id);  // ids of a slot grow
  }
}

void ServerSession::OnPeerGone() {
  End();
}

void ServerSession::OnControlViolation(const char* what) {
  Break(absl::InternalError(what));
}

void ServerSession::Break(const absl::Status& violation) {
  const std::string text =
      absl::StrCat("protocol violation by client pid ", peer_.pid, " uid ", peer_.uid, " (connection ", id_, ", ",
                   transport_->name(), "): ", violation.message(), "; the connection is closed");
  {
    base::MutexLock lock(mutex_);
    if (!violation_.empty()) return;
    violation_ = text;
  }
  logger_->Log({base::LogKind::kViolation, peer_.uid}, LogSeverity::kError, text);
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
  CancelAll();
  AskToBeLookedAt();
}

// False: it had ended before.
bool ServerSession::End() {
  if (gone_.exchange(true, std::memory_order_acq_rel)) return false;
  outbox_.Close();
  CancelAll();
  base::MutexLock lock(listener_mutex_);
  if (listener_.on_gone) listener_.on_gone();
  gone_was_told_ = true;
  return true;
}

bool ServerSession::gone_was_told() {
  base::MutexLock lock(listener_mutex_);
  return gone_was_told_;
}

void ServerSession::AskToBeLookedAt() {
  base::MutexLock lock(listener_mutex_);
  if (listener_.on_ring) listener_.on_ring();
}

void ServerSession::Detach() {
  base::MutexLock lock(listener_mutex_);
  listener_ = {};
}

void ServerSession::CancelAll() {
  base::MutexLock lock(mutex_);
  calls_.ForEachUntil([this](ActiveCall& call) {
    if (hung_up() || !call.one_way()) call.MarkCancelled();
    return false;
  });
}

std::string ServerSession::DebugString() {
  const size_t kept = outbox_.held().kept();
  const uint64_t frames_sent = outbox_.frames_sent();
  base::MutexLock lock(mutex_);
  return absl::StrCat("connection ", id_, ": ", transport_->name(), ", client pid ", peer_.pid, " uid ", peer_.uid,
                      ", ", call_count_, " calls, ", frames_sent, " frames sent, ", kept, " B held back",
                      gone() ? ", gone" : "", violation_.empty() ? "" : absl::StrCat(", ", violation_));
}

}  // namespace nearcall::session
