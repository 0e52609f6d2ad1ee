// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

// Whether one more client is let in, and how many connections each user has: their number is bounded, and so are the
// descriptors that they need. Thread-safe.
class Admission {
 public:
  explicit Admission(const ServerCore& core) : core_(core) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // The kernel has said who the client is. Success counts one connection of that user, until Leave().
  absl::Status Admit(uid_t uid);
  void Leave(uid_t uid);

 private:
  const ServerCore& core_;
  base::Mutex mutex_;
  std::map<uid_t, size_t> connections_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
