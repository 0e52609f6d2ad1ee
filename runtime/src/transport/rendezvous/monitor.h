// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/reactor.h"
#include "base/thread.h"

namespace nearcall::transport {

// A thread of ours that takes the turns of a Reactor. Thread-safe. Owned by MonitorUse (monitor_use.h) and by its own
// thread, which ends with Stop().
class Monitor {
 public:
  static absl::StatusOr<std::shared_ptr<Monitor>> Start();
  explicit Monitor(std::shared_ptr<base::Reactor> reactor) : reactor_(std::move(reactor)) {}
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  const std::shared_ptr<base::Reactor>& reactor() const { return reactor_; }

  // Ends the thread, and waits for that unless it is the calling one. Once, when nothing is watched any more.
  void Stop();

 private:
  void Run();

  const std::shared_ptr<base::Reactor> reactor_;
  std::atomic<bool> stopping_{false};
  base::Thread thread_;  // set before anybody else knows this object
};

}  // namespace nearcall::transport
