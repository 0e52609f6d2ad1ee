// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/monitor.h"

#include <limits>

#include "base/clock.h"
#include "base/warm_memory.h"

namespace nearcall::transport {

absl::StatusOr<std::shared_ptr<Monitor>> Monitor::Start() {
  auto reactor = base::Reactor::Create();
  if (!reactor.ok()) return reactor.status();
  auto monitor = std::make_shared<Monitor>(*std::move(reactor));
  base::WarmMemory::CareWith(monitor->reactor());
  // Owned by the thread too: it may be the one that gives up the last use.
  const auto run = [self = monitor] { self->Run(); };
  if (absl::Status started = monitor->thread_.Start("nearcall-watch", base::kOwnStack, run); !started.ok()) {
    return started;
  }
  return monitor;
}

void Monitor::Stop() {
  stopping_.store(true, std::memory_order_release);
  reactor_->Wake();
  if (reactor_->IsCurrent()) {
    thread_.Detach();
  } else {
    thread_.Join();
  }
}

void Monitor::Run() {
  while (!stopping_.load(std::memory_order_acquire)) {
    reactor_->Turn(std::numeric_limits<size_t>::max(), /*timeout_ms=*/-1);
  }
  base::WarmMemory::GiveBackOlderThan(base::kNever);
}

}  // namespace nearcall::transport
