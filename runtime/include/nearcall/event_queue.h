// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <memory>

#include "nearcall/export.h"

namespace nearcall {

namespace base {
class Reactor;
}
namespace internal {
struct EventQueueAccess;
}

// The user's own event loop in place of our threads: channels and servers that are given a queue have none. All that
// they do (connecting, accepting, reading, deadlines, keepalive, callbacks, coroutines, handlers, stop callbacks) is
// done in Run(), on the thread that calls it.
//
//   nearcall::EventQueue queue;
//   auto channel = nearcall::Channel::Connect("shm:echo", {.event_queue = &queue});
//   ...
//   pollfd ready = {.fd = queue.fd(), .events = POLLIN};
//   while (poll(&ready, 1, -1) >= 0 || errno == EINTR) queue.Run(64);
//
// Any number of channels and servers may share one. The queue outlives them (a CHECK), and is not destroyed in its own
// Run() (another one).
//
// Run() by one thread at a time (a CHECK). Channels and servers may be used by other threads meanwhile: what they start
// makes the queue's thread run it. A blocking call on a channel with a queue reads for itself, on the thread that makes
// it. In Run() a blocking call holds up the queue; one to a server of the same queue would wait for itself, and ends by
// its deadline only.
//
// After fork() it is the parent's: in the child Run() does nothing, and fd() must not be watched.
class NEARCALL_EXPORT EventQueue {
 public:
  // Without descriptors (it takes three) or memory fd() is -1, and channels and servers with it fail with
  // RESOURCE_EXHAUSTED.
  EventQueue();
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;
  ~EventQueue();

  // For poll(2), epoll(7), select(2) and all that are built on them: readable while there is something to run.
  // Constant. Not to be read, written or closed.
  int fd() const;

  // Runs what there is to run, but at most `max` of the user's functions (callbacks, resumptions of coroutines,
  // handlers); the rest is left for the next time, and the descriptor readable. How many it has run: 0 does not mean
  // that nothing was done. Never waits. In a call of itself it does nothing.
  size_t Run(size_t max = std::numeric_limits<size_t>::max());

 private:
  friend struct internal::EventQueueAccess;

  std::shared_ptr<base::Reactor> reactor_;
};

namespace internal {

// For the runtime only.
struct EventQueueAccess {
  static const std::shared_ptr<base::Reactor>& ReactorOf(const EventQueue& queue) { return queue.reactor_; }
};

}  // namespace internal

}  // namespace nearcall
