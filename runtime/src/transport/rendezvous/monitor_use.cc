// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/monitor_use.h"

#include <atomic>
#include <cstddef>

#include "base/mutex.h"

namespace nearcall::transport {

namespace {

// The monitor of one process. A forked child makes another one: in the one that it inherited the mutex may be held by a
// thread that does not exist there.
struct Registry {
  explicit Registry(const Registry* parents) : inherited(parents) {}

  const base::ForkGuard fork_guard;
  const Registry* const inherited;  // keeps it reachable; never touched
  base::Mutex mutex;
  std::shared_ptr<Monitor> monitor ABSL_GUARDED_BY(mutex);  // null: not running
  size_t uses ABSL_GUARDED_BY(mutex) = 0;
};

// Never destroyed: the process's last use may come later than any destructor of a static object.
std::atomic<Registry*> current_registry{nullptr};

Registry& ThisProcess() {
  Registry* registry = current_registry.load(std::memory_order_acquire);
  while (registry == nullptr || registry->fork_guard.InChild()) {
    auto made = std::make_unique<Registry>(registry);
    if (current_registry.compare_exchange_strong(registry, made.get(), std::memory_order_acq_rel)) {
      return *made.release();
    }
  }
  return *registry;
}

}  // namespace

absl::StatusOr<MonitorUse> MonitorUse::Acquire(base::Reactor* reactor) {
  if (reactor != nullptr) return MonitorUse(nullptr, reactor->shared_from_this());
  Registry& registry = ThisProcess();
  base::MutexLock lock(registry.mutex);
  if (registry.monitor == nullptr) {
    auto started = Monitor::Start();
    if (!started.ok()) return started.status();
    registry.monitor = *std::move(started);
  }
  ++registry.uses;
  return MonitorUse(registry.monitor, registry.monitor->reactor());
}

MonitorUse::~MonitorUse() {
  if (monitor_ == nullptr || InChild()) return;
  Registry& registry = ThisProcess();
  {
    base::MutexLock lock(registry.mutex);
    if (--registry.uses > 0) return;
    registry.monitor = nullptr;
  }
  monitor_->Stop();
}

}  // namespace nearcall::transport
