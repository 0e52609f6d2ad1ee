// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/fork.h"
#include "base/reactor.h"
#include "transport/rendezvous/monitor.h"

namespace nearcall::transport {

// What watches descriptors and time for somebody: the user's event queue, or the process's one Monitor, which this
// keeps running: the first use starts it, the end of the last one stops it. In a fork()ed child an inherited use is
// dead: the thread is not there and its locks may be held for ever, so it must not be touched.
class MonitorUse {
 public:
  // `reactor`: the queue's; null: the monitor.
  static absl::StatusOr<MonitorUse> Acquire(base::Reactor* reactor);

  MonitorUse(MonitorUse&&) noexcept = default;
  MonitorUse& operator=(MonitorUse&&) = delete;
  ~MonitorUse();

  bool InChild() const { return fork_guard_.InChild(); }
  base::Reactor* operator->() const { return get(); }
  base::Reactor* get() const { return reactor_.get(); }

 private:
  MonitorUse(std::shared_ptr<Monitor> monitor, std::shared_ptr<base::Reactor> reactor)
      : monitor_(std::move(monitor)), reactor_(std::move(reactor)) {}

  std::shared_ptr<Monitor> monitor_;        // null: the user's queue takes its place
  std::shared_ptr<base::Reactor> reactor_;  // may be used after the queue has gone, to no effect
  base::ForkGuard fork_guard_;
};

}  // namespace nearcall::transport
