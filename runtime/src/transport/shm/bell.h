// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/clock.h"

namespace nearcall::transport::shm {

// Wakes the other side, or lets this side be woken. A hint and no more: whoever hears it looks at the rings, and
// whoever rings it in vain, or not at all, only spoils his own connection.
class Bell {
 public:
  virtual ~Bell() = default;

  // Any thread. Cannot fail, and does not block (but see Unblock).
  virtual void Ring() = 0;

  // Sleeps until rung, or `until`. True if it was rung. Only where it can, by one thread at a time.
  virtual bool Wait(base::SteadyNs until) = 0;
  virtual bool can_wait() const = 0;

  // Becomes readable when rung, for epoll (edge-triggered). -1 if there is none.
  virtual int fd() const = 0;
  // Forgets what was rung: after the event, where the bell would be full some day.
  virtual void Clear() {}

  // Ends this process's own Wait(), whatever the peer has written where the bell is. Any thread.
  virtual void Interrupt() = 0;

  // Frees a thread of this process from a Ring() that the peer has managed to block. Any thread.
  virtual void Unblock() = 0;
};

}  // namespace nearcall::transport::shm
