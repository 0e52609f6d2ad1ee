// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "transport/control.h"

namespace nearcall::session {

// Whether a session that serves has ended, and why; and how it tells the client. Thread-safe.
class ServedEnd {
 public:
  // Once. A guest has none: its host's says it.
  void Attach(std::shared_ptr<transport::ControlChannel> control);

  void SendGoAway();
  // This side ends it: so the client is told.
  void HangUp();
  // False: it had ended before.
  bool End() { return !gone_.exchange(true, std::memory_order_acq_rel); }
  // The client has broken the protocol. False: that is known.
  bool NoteViolation(const std::string& text);

  bool gone() const { return gone_.load(std::memory_order_acquire); }
  // Gone because of this side. Else what the client has sent one way is still to be done.
  bool hung_up() const { return hung_up_.load(std::memory_order_acquire); }
  std::string DebugString();

 private:
  std::shared_ptr<transport::ControlChannel> control();

  std::atomic<bool> gone_{false};
  std::atomic<bool> hung_up_{false};

  base::Mutex mutex_;
  std::shared_ptr<transport::ControlChannel> control_ ABSL_GUARDED_BY(mutex_);
  std::string violation_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::session
