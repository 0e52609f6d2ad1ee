// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "rpc/server/turn.h"
#include "session/server_session.h"

namespace nearcall::rpc {

// What others have for the leader of a poller, and the connections that the poller has. Nothing that is put in is lost,
// for want of memory neither: that would be a client that waits for ever. Thread-safe.
class Mailbox {
 public:
  using SessionPtr = std::shared_ptr<session::ServerSession>;

  struct Mail {
    std::vector<SessionPtr> added;
    std::vector<uint32_t> rung;
    std::vector<uint32_t> removed;
  };

  void Add(const SessionPtr& session);
  void Ring(uint32_t connection_id);
  // False: there is no such connection.
  [[nodiscard]] bool Remove(uint32_t connection_id);
  // Of a call that has begun. Allocates nothing.
  void Queue(Turn& turn);

  // By the leader: all that has come, the turns at the end of `turns`; a connection is no more.
  Mail Take(base::List<Turn, InLane>& turns);
  void Forget(uint32_t connection_id);

  // The end: all connections that there were.
  std::vector<SessionPtr> Clear();

  std::vector<SessionPtr> Sessions() const;
  size_t connection_count() const;

 private:
  mutable base::Mutex mutex_;
  Mail mail_ ABSL_GUARDED_BY(mutex_);
  base::List<Turn, InLane> turns_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<uint32_t, SessionPtr> sessions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
