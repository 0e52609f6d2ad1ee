// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "transport/control.h"

namespace nearcall::rpc {

// How far a server is on its way to the end:
//
//   serving -> draining (no new calls; what runs may finish) -> hung up (the rest is cancelled) -> closed (nothing
//   runs)
//
// Thread-safe.
class ServerStage {
 public:
  enum class Drains {
    kNow,      // by this
    kSooner,   // it was draining, and has less time now
    kAlready,  // it ends as soon without this
  };
  // Until then what runs may finish.
  Drains Drain(base::SteadyNs until);
  // What ends the grace, unless that has become shorter meanwhile.
  void KeepTimer(base::SteadyNs until, std::unique_ptr<transport::Timer> timer);
  // Which then does not begin any more.
  void StopTimer();

  void HangUp();
  // If it has hung up, and `nothing_runs`, which is asked under the lock of this.
  template <typename NothingRuns>
  void Close(NothingRuns&& nothing_runs) {
    base::MutexLock lock(mutex_);
    if (stage_ != Stage::kHungUp || !nothing_runs()) return;
    stage_ = Stage::kClosed;
    changed_.NotifyAll();
  }

  bool hung_up();
  bool closed();
  void WaitUntilClosed();

 private:
  enum class Stage { kServing, kDraining, kHungUp, kClosed };

  base::Mutex mutex_;
  base::CondVar changed_;
  Stage stage_ ABSL_GUARDED_BY(mutex_) = Stage::kServing;
  base::SteadyNs grace_ends_ ABSL_GUARDED_BY(mutex_) = base::kNever;
  std::unique_ptr<transport::Timer> grace_timer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
