// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/fd.h"
#include "session/server_session.h"

namespace nearcall::rpc {

// Where a poller's threads sleep: what its connections ring, and the poller's own bell, in one epoll. Thread-safe.
class Bells {
 public:
  absl::Status Open();

  // Hears `session`, whenever it rings. Over transports that only tell that there is something, after ListenOnce().
  absl::Status Add(session::ServerSession& session);
  // Until the next news of these kinds (Transport::kFrames, kRoom).
  void ListenOnce(session::ServerSession& session, uint32_t interest);
  void Remove(session::ServerSession& session);

  // Rings the poller's own. Does nothing before Open().
  void Wake();

  // Readable when something has rung that Wait() has not told.
  int fd() const { return epoll_.get(); }

  // Sleeps until something rings, for `timeout_ns` at most; calls `rung` for each connection that has. Whether anything
  // has.
  bool Wait(int64_t timeout_ns, absl::FunctionRef<void(uint32_t connection_id)> rung);

 private:
  absl::Status Watch(int fd, uint32_t events, uint64_t data);

  base::Fd epoll_;
  base::Fd wake_;
};

}  // namespace nearcall::rpc
