// SPDX-License-Identifier: Apache-2.0
#include "session/back_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "session/client_session.h"

namespace nearcall::session {

BackCalls::BackCalls(const Connection& connection, std::shared_ptr<base::Logger> logger,
                     std::shared_ptr<ClientSession> host)
    : connection_(connection), logger_(std::move(logger)), host_(std::move(host)) {
  stand_in_.listener = this;
}

BackCalls::~BackCalls() = default;

std::shared_ptr<ClientSession> BackCalls::Session(const std::shared_ptr<void>& keeper) {
  if (host_ != nullptr) return host_;
  if (connection_.client.granted_calls() == 0) return nullptr;
  base::MutexLock lock(mutex_);
  if (session_ == nullptr) {
    const ClientSession::Accepted accepted = {.transport = connection_.transport,
                                              .outbox = connection_.outbox,
                                              .side = connection_.side,
                                              .control = control_,
                                              .client = connection_.client};
    session_ = std::make_unique<ClientSession>(accepted,
                                               ClientSessionOptions{.max_message_size = connection_.max_message_size,
                                                                    .max_calls_in_flight = base::kMaxBackCalls,
                                                                    .max_queued_bytes = base::kMaxBackBytes,
                                                                    .max_spin_ns = 0,
                                                                    .stream_window = connection_.stream_window},
                                               logger_);
    session_->callers().OfRole([this](ReaderRole& role) { role.SetStandIn(&stand_in_); });
    if (ended_) session_->end().NoteGone();
  }
  return {keeper, session_.get()};
}

ClientSession* BackCalls::made() {
  base::MutexLock lock(mutex_);
  return session_.get();
}

absl::Status BackCalls::Take(Inbox::Event event, wire::Message& message) {
  const uint64_t id = message.header.call_id;
  if (message.header.kind == wire::FrameKind::kRequest) {
    return absl::InternalError(absl::StrCat("a request of call ", id, ", which is not the client's to begin"));
  }
  if (ClientSession* const session = made()) return session->receiver().Take(event, message);
  return absl::InternalError(absl::StrCat("a frame of call ", id, ", which this side has not begun"));
}

void BackCalls::OnSent() {
  ClientSession* const session = host_ == nullptr ? made() : host_.get();
  if (session != nullptr) session->callers().TellNext();
}

void BackCalls::End() {
  ClientSession* session;
  {
    base::MutexLock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    session = session_.get();
  }
  if (session == nullptr) return;
  session->end().NoteGone();
  base::UntilThereIsMemory([session] { session->callers().FailAll(); });
}

void BackCalls::OnNews() {
  stand_in_.ForgetNews();
  connection_.listener.AskToLook();
}

}  // namespace nearcall::session
