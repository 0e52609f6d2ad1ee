// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"

namespace nearcall::session {

class ServerSession;

// Who serves, over the connection of a client, the calls that its server begins: a session of the other kind, which
// lives by the client's (its host), and not longer. Thread-safe.
class Guest {
 public:
  void Set(std::weak_ptr<ServerSession> session) {
    base::MutexLock lock(mutex_);
    session_ = std::move(session);
    was_set_ = true;
  }
  bool was_set() {
    base::MutexLock lock(mutex_);
    return was_set_;
  }
  // nullptr: there is none (any more).
  std::shared_ptr<ServerSession> Get() {
    base::MutexLock lock(mutex_);
    return session_.lock();
  }

 private:
  base::Mutex mutex_;
  std::weak_ptr<ServerSession> session_ ABSL_GUARDED_BY(mutex_);
  bool was_set_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::session
