// SPDX-License-Identifier: Apache-2.0
#include "session/connection_end.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace nearcall::session {

void ConnectionEnd::Attach(std::shared_ptr<transport::ControlChannel> control, Hold hold) {
  base::MutexLock lock(mutex_);
  held_.own = hold == Hold::kOwn ? control.get() : nullptr;
  held_.control = std::move(control);
  if (held_.own != nullptr && dead()) held_.own->HangUp();
}

transport::ControlChannel* ConnectionEnd::control() {
  base::MutexLock lock(mutex_);
  return held_.control.get();
}

bool ConnectionEnd::Break(const absl::Status& violation) {
  const std::string text =
      absl::StrCat("protocol violation by ", server_.Text(), ": ", violation.message(), "; the connection is closed");
  {
    base::MutexLock lock(mutex_);
    if (!cause_.ok()) return false;
    cause_ = absl::InternalError(text);
  }
  Note(broken_);
  logger_->Log({base::LogKind::kViolation, server_.peer.uid}, LogSeverity::kError, text);
  HangUpControl();
  Dismiss();
  return true;
}

void ConnectionEnd::GiveUp(const std::string& why) {
  {
    base::MutexLock lock(mutex_);
    if (dead() || !cause_.ok()) return;
    cause_ = absl::UnavailableError(why);
  }
  logger_->Log({base::LogKind::kConnection, server_.peer.uid}, LogSeverity::kWarning, why);
  HangUp();
}

void ConnectionEnd::HangUp() {
  NoteGone();
  HangUpControl();
}

void ConnectionEnd::HangUpControl() {
  transport::ControlChannel* socket;
  {
    base::MutexLock lock(mutex_);
    socket = held_.own;
  }
  if (socket != nullptr) socket->HangUp();
}

void ConnectionEnd::SendCancel(uint64_t call_id) {
  control()->Send({.kind = transport::ControlMessage::Kind::kCancel, .call_id = call_id});
}

void ConnectionEnd::LogFate() {
  const std::optional<std::string> fate = child_->Fate();
  if (!fate || absl::EndsWith(*fate, " status 0")) return;
  logger_->Log({base::LogKind::kConnection, server_.peer.uid}, LogSeverity::kWarning,
               absl::StrCat(server_.Text(), " ", *fate, "; the next call starts it again"));
}

absl::Status ConnectionEnd::Failure() {
  const std::optional<std::string> fate = child_ == nullptr ? std::nullopt : child_->Fate();
  base::MutexLock lock(mutex_);
  if (!cause_.ok()) return base::UnsharedCopy(cause_);
  return absl::UnavailableError(absl::StrCat(server_.Text(), " ", fate ? *fate : "has gone away"));
}

}  // namespace nearcall::session
