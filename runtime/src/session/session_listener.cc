// SPDX-License-Identifier: Apache-2.0
#include "session/session_listener.h"

namespace nearcall::session {

void SessionListener::TellGone() {
  base::MutexLock lock(mutex_);
  if (calls_.on_gone) calls_.on_gone();
  was_told_gone_ = true;
}

bool SessionListener::was_told_gone() {
  base::MutexLock lock(mutex_);
  return was_told_gone_;
}

void SessionListener::AskToLook() {
  base::MutexLock lock(mutex_);
  if (calls_.on_ring) calls_.on_ring();
}

std::optional<transport::Progress> SessionListener::AskForProgress() {
  base::MutexLock lock(mutex_);
  if (!calls_.on_ping) return std::nullopt;
  return calls_.on_ping();
}

void SessionListener::Detach() {
  base::MutexLock lock(mutex_);
  calls_ = {};
}

}  // namespace nearcall::session
