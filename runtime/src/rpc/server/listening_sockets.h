// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mutex.h"
#include "rpc/server/handshakes.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

// The sockets at which clients of a server connect. Of each: whether somebody may be waiting in its backlog, and
// whether it still has its name. A name that somebody has removed is bound again: with a new socket, and the former one
// goes when nobody waits there any more.
//
// Used by the door's thread; Close() and DebugString() by any.
class ListeningSockets {
 public:
  using Transports = std::shared_ptr<const Handshakes::Transports>;
  struct Accepted {
    bool somebody() const { return newcomer.shake_hands != nullptr; }
    // The listening socket is of no use any more: a process that shares it has shut it down.
    bool failed_for_good() const {
      return error == EINVAL || error == EBADF || error == ENOTSOCK || error == EOPNOTSUPP;
    }

    transport::Newcomer newcomer;
    int error = 0;
    Transports transports;
    std::shared_ptr<transport::Listener> listener = nullptr;
  };

  explicit ListeningSockets(base::Logger& logger) : logger_(logger) {}
  ListeningSockets(const ListeningSockets&) = delete;
  ListeningSockets& operator=(const ListeningSockets&) = delete;

  // Where they are watched (an epoll): events of theirs have a number from `first_event` on as their data.
  void WatchIn(int epoll, uint64_t first_event);

  absl::Status Add(std::shared_ptr<transport::Listener> listener, Transports transports);
  // Gives up names and sockets, now. From then on there are none.
  absl::Status Close();

  // A successor has it. True: and now there are none.
  bool GiveAway(const transport::Listener& listener);
  // Takes over those that are still another server's (transport::Listener::TakeOver).
  absl::Status TakeOver();

  void OnEvent(uint64_t event);
  // Tries again to bind names where that was not possible when they were lost.
  void LookAfterLostNames();
  // When that has something to do.
  base::SteadyNs NextLookAt();

  // They have numbers below this, and keep them.
  size_t count();
  bool SomebodyWaits();
  // Takes a client: EAGAIN if nobody waits.
  Accepted Accept(size_t index);
  // nullopt: it is closed.
  std::optional<std::string> NameOf(size_t index);

  std::string DebugString();

 private:
  struct One {
    // Nobody's place any more: a successor stands in another one, and whoever waited here has been taken.
    bool is_free() const { return listener == nullptr; }

    std::shared_ptr<transport::Listener> listener;
    Transports transports;
    bool has_successor = false;
    // Somebody may be in its backlog: its event has come (edge-triggered), and accept4 has not said since that nobody
    // is. So whatever keeps us from taking somebody now, he is not forgotten.
    bool somebody_waits = false;
    // It has none, and cannot be bound again just now.
    bool name_is_lost = false;
  };

  absl::Status AddLocked(std::shared_ptr<transport::Listener> listener, Transports transports)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unwatch(const transport::Listener& listener) const;
  void LookAfterName(size_t index);

  base::Logger& logger_;
  int epoll_ = -1;
  uint64_t first_event_ = 0;

  base::SteadyNs look_again_at_ = 0;  // after names that are lost; the door's thread's

  base::Mutex mutex_;
  std::vector<One> sockets_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::rpc
