// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/fork.h"
#include "transport/rendezvous/monitor.h"

namespace nearcall::transport {

// Keeps the process's one Monitor running: the first starts it, the end of the last one stops it. In a fork()ed child
// an inherited use is dead: the monitor's thread is not there and its locks may be held for ever, so it must not be
// touched.
class MonitorUse {
 public:
  static absl::StatusOr<MonitorUse> Acquire();

  MonitorUse(MonitorUse&&) noexcept = default;
  MonitorUse& operator=(MonitorUse&&) = delete;
  ~MonitorUse();

  bool InChild() const { return fork_guard_.InChild(); }
  Monitor* operator->() const { return monitor_.get(); }
  Monitor* get() const { return monitor_.get(); }

 private:
  explicit MonitorUse(std::shared_ptr<Monitor> monitor) : monitor_(std::move(monitor)) {}

  std::shared_ptr<Monitor> monitor_;
  base::ForkGuard fork_guard_;
};

}  // namespace nearcall::transport
