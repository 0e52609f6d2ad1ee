// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "transport/control.h"
#include "transport/rendezvous/monitor_use.h"

namespace nearcall::transport {

namespace {

class MonitorTimer final : public Timer {
 public:
  MonitorTimer(MonitorUse monitor, base::SteadyNs when, std::function<void()> callback)
      : monitor_(std::move(monitor)), id_(monitor_->AddTimer(when, std::move(callback))) {}

  ~MonitorTimer() override {
    if (!monitor_.InChild()) monitor_->Remove(id_);
  }

 private:
  const MonitorUse monitor_;
  const base::Reactor::Id id_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Timer>> StartTimer(base::SteadyNs when, std::function<void()> callback,
                                                  base::Reactor* reactor) {
  auto monitor = MonitorUse::Acquire(reactor);
  if (!monitor.ok()) return monitor.status();
  return std::make_unique<MonitorTimer>(*std::move(monitor), when, std::move(callback));
}

}  // namespace nearcall::transport
