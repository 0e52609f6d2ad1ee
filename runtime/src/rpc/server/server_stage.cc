// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server_stage.h"

#include <utility>

namespace nearcall::rpc {

ServerStage::Drains ServerStage::Drain(base::SteadyNs until) {
  base::MutexLock lock(mutex_);
  if (stage_ > Stage::kDraining || until >= grace_ends_) return Drains::kAlready;
  grace_ends_ = until;
  return std::exchange(stage_, Stage::kDraining) == Stage::kServing ? Drains::kNow : Drains::kSooner;
}

// The one that is too late goes without the lock: its call may be running.
void ServerStage::KeepTimer(base::SteadyNs until, std::unique_ptr<transport::Timer> timer) {
  base::MutexLock lock(mutex_);
  if (grace_ends_ == until) std::swap(grace_timer_, timer);
}

void ServerStage::StopTimer() {
  std::unique_ptr<transport::Timer> timer;
  base::MutexLock lock(mutex_);
  timer = std::move(grace_timer_);
}

void ServerStage::HangUp() {
  base::MutexLock lock(mutex_);
  if (stage_ == Stage::kDraining) stage_ = Stage::kHungUp;
}

bool ServerStage::hung_up() {
  base::MutexLock lock(mutex_);
  return stage_ >= Stage::kHungUp;
}

bool ServerStage::closed() {
  base::MutexLock lock(mutex_);
  return stage_ == Stage::kClosed;
}

void ServerStage::WaitUntilClosed() {
  base::MutexLock lock(mutex_);
  while (stage_ != Stage::kClosed) changed_.Wait(mutex_);
}

}  // namespace nearcall::rpc
