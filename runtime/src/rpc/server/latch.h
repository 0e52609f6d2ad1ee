// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"

namespace nearcall::rpc {

// Counts who is inside, for somebody who waits until nobody is. Shared by all of them: who leaves last touches nothing
// else. Thread-safe.
class Latch {
 public:
  void Enter() {
    base::MutexLock lock(mutex_);
    ++inside_;
  }

  void Leave() {
    base::MutexLock lock(mutex_);
    if (--inside_ == 0) empty_.NotifyAll();
  }

  void WaitUntilEmpty() {
    base::MutexLock lock(mutex_);
    while (inside_ != 0) empty_.Wait(mutex_);
  }

 private:
  base::Mutex mutex_;
  base::CondVar empty_;
  size_t inside_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace nearcall::rpc
