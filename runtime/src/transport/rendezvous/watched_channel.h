// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transport/control.h"
#include "transport/rendezvous/monitor_use.h"

namespace nearcall::transport {

// A control channel of which the monitor calls a part, the `Watch`: Begin(), End(), Send(), HangUp(), and
// CloseInChild() in a forked child, whose monitor is the parent's and must not be touched.
template <typename Watch>
class WatchedChannel final : public ControlChannel {
 public:
  static absl::StatusOr<std::unique_ptr<ControlChannel>> Begin(MonitorUse monitor, std::shared_ptr<Watch> watch) {
    Watch& begins = *watch;
    auto channel = std::make_unique<WatchedChannel>(std::move(monitor), std::move(watch));
    if (absl::Status begun = begins.Begin(); !begun.ok()) return begun;
    return channel;
  }

  WatchedChannel(MonitorUse monitor, std::shared_ptr<Watch> watch)
      : monitor_(std::move(monitor)), watch_(std::move(watch)) {}

  ~WatchedChannel() override {
    if (monitor_.InChild()) {
      watch_->CloseInChild();
    } else {
      watch_->End();
    }
  }

  void Send(const ControlMessage& message) override {
    if (!monitor_.InChild()) watch_->Send(message);
  }

  void HangUp() override {
    if (!monitor_.InChild()) watch_->HangUp();
  }

 private:
  const MonitorUse monitor_;
  const std::shared_ptr<Watch> watch_;
};

}  // namespace nearcall::transport
