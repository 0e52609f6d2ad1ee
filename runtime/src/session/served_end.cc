// SPDX-License-Identifier: Apache-2.0
#include "session/served_end.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace nearcall::session {

void ServedEnd::Attach(std::shared_ptr<transport::ControlChannel> control) {
  base::MutexLock lock(mutex_);
  control_ = std::move(control);
  // A violation may have come in before there was anything to hang up.
  if (gone()) control_->HangUp();
}

std::shared_ptr<transport::ControlChannel> ServedEnd::control() {
  base::MutexLock lock(mutex_);
  return control_;
}

void ServedEnd::SendGoAway() {
  control()->Send({.kind = transport::ControlMessage::Kind::kGoAway});
}

void ServedEnd::HangUp() {
  hung_up_.store(true, std::memory_order_release);
  if (const auto control = this->control()) control->HangUp();
}

bool ServedEnd::NoteViolation(const std::string& text) {
  base::MutexLock lock(mutex_);
  if (!violation_.empty()) return false;
  violation_ = text;
  return true;
}

std::string ServedEnd::DebugString() {
  base::MutexLock lock(mutex_);
  return absl::StrCat(gone() ? ", gone" : "", violation_.empty() ? "" : ", ", violation_);
}

}  // namespace nearcall::session
