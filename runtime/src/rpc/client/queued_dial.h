// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

// An attempt to connect whose steps are done in the user's event queue.
//
// Thread-safe. Owned by who waits for it and by the reactor, until Stop().
class QueuedDial final : public base::Reactor::Target {
 public:
  using Outcome = std::optional<absl::StatusOr<transport::Connection>>;

  // `done`: hears, once, that there is an outcome. Must not block.
  QueuedDial(base::Reactor& reactor, std::unique_ptr<transport::Dial> dial, std::function<void()> done)
      : reactor_(reactor), done_(std::move(done)), dial_(std::move(dial)) {}

  void Start(const std::shared_ptr<QueuedDial>& self);

  // nullopt: none yet. Afterwards it has been stopped.
  Outcome Take();

  // No step is done any more, nor being done; what is left is the caller's. Once.
  struct Rest {
    std::unique_ptr<transport::Dial> dial;  // unless there is
    Outcome outcome;
  };
  Rest Stop();

 private:
  void OnReady(uint32_t slot, uint32_t events) override;
  size_t OnTurn(size_t max) override;
  void Step() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Watch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unwatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  base::Reactor& reactor_;
  const std::function<void()> done_;
  base::Reactor::Id id_ = 0;  // set before the first step

  base::Mutex mutex_;
  std::unique_ptr<transport::Dial> dial_ ABSL_GUARDED_BY(mutex_);
  Outcome outcome_ ABSL_GUARDED_BY(mutex_);
  transport::DialFds watched_ ABSL_GUARDED_BY(mutex_) = {-1, -1};
  base::Reactor::Id timer_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace nearcall::rpc
