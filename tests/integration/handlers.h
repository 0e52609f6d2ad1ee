// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "echo_service.h"

namespace nearcall::integration {

// The request that SleepIfAsked sleeps for, a second long.
inline constexpr char kSleepRequest[] = "sleep";
absl::Status SleepIfAsked(ServerContext& context, const Blob& request, Blob& reply);

// Handlers that answer only when nobody waits any more.
class Holding {
 public:
  Handler handler();

  // How many run.
  size_t count() const;
  // Until `count` of them run, or 30 s.
  bool WaitFor(size_t count) const;

 private:
  void Change(size_t difference);

  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace nearcall::integration
