// SPDX-License-Identifier: Apache-2.0
#include "nearcall/event_queue.h"

#include <utility>

#include "base/check.h"
#include "base/fork.h"
#include "base/no_memory.h"
#include "base/reactor.h"
#include "base/thread.h"
#include "base/warm_memory.h"

namespace nearcall {

EventQueue::EventQueue() {
  absl::StatusOr<std::shared_ptr<base::Reactor>> made = base::OrNoMemory([] { return base::Reactor::Create(); });
  if (!made.ok()) return;
  reactor_ = *std::move(made);
  base::WarmMemory::CareWith(reactor_);
}

EventQueue::~EventQueue() {
  if (reactor_ == nullptr) return;
  if (reactor_->InChild()) {
    // Its locks may be held for ever.
    static_cast<void>(new std::shared_ptr<base::Reactor>(std::move(reactor_)));
    return;
  }
  const bool is_in_its_own_run = reactor_->IsCurrent();
  NEARCALL_CHECK(!is_in_its_own_run);
  const bool outlives_its_channels_and_servers = reactor_->users.load(std::memory_order_acquire) == 0;
  NEARCALL_CHECK(outlives_its_channels_and_servers);
  // What channels have left behind that were destroyed in Run().
  while (Run() != 0) {
  }
  reactor_->Clear();
  base::WarmMemory::GiveBackOlderThan(base::kNever);
}

int EventQueue::fd() const {
  return reactor_ == nullptr ? -1 : reactor_->fd();
}

size_t EventQueue::Run(size_t max) {
  const base::CancelDisabled uncancelled;
  return reactor_ == nullptr || max == 0 ? 0 : reactor_->Turn(max);
}

}  // namespace nearcall
