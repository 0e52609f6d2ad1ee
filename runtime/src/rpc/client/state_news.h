// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace nearcall::rpc {

// That the state of a channel may have changed. Outlives the channel where one of its sessions does. Thread-safe.
class StateNews {
 public:
  uint64_t count() const {
    base::MutexLock lock(mutex_);
    return count_;
  }

  void Tell() {
    base::MutexLock lock(mutex_);
    ++count_;
    told_.NotifyAll();
  }

  // Whether there have been others than the first `seen` ones, by `deadline`.
  bool WaitBeyond(uint64_t seen, base::SteadyNs deadline) const {
    base::MutexLock lock(mutex_);
    while (count_ == seen && base::NowNs() < deadline) told_.WaitUntil(mutex_, deadline);
    return count_ != seen;
  }

 private:
  mutable base::Mutex mutex_;
  mutable base::CondVar told_;
  uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace nearcall::rpc
