// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rpc/server/admission.h"
#include "rpc/server/connection_ids.h"
#include "rpc/server/server_core.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

// The handshakes that are under way at a server's door. A client that has not said hello yet has a place among
// kMaxHalfOpen, for ServerOptions::handshake_timeout. When all are taken the user who has the most of them loses the
// oldest to whoever comes next, but none that is younger than kHelloGraceNs: until then nobody is let in (RoomAt).
// Who has said hello counts against the connections of its user, and is let finish.
//
// Used by one thread, the door's; count() by any.
class Handshakes {
 public:
  using Transports = std::vector<const transport::TransportRow*>;
  // Takes over a finished handshake, which Admission has counted.
  using OnConnection = std::function<void(transport::Connection connection, ConnectionIds::LeasePtr id)>;
  // Of a handshake; never used again. Those below kFirstId are the door's own.
  using Id = uint64_t;
  static constexpr Id kFirstId = Id{1} << 32;

  // A successor has taken `listener` over.
  using OnSuccessor = std::function<void(const transport::Listener& listener, pid_t successor)>;

  Handshakes(ServerCore& core, Admission& admission, ConnectionIds& ids, OnConnection on_connection,
             OnSuccessor on_successor);
  Handshakes(const Handshakes&) = delete;
  Handshakes& operator=(const Handshakes&) = delete;

  // Where the sockets are watched (an epoll): events of a handshake have its Id as their data.
  void WatchIn(int epoll) { epoll_ = epoll; }

  // When one more can begin: at once (0), or when somebody has had time enough to say hello.
  base::SteadyNs RoomAt() const;

  // A client has connected. Its first step is taken at once: its hello is often there already. `refusal`: what it is
  // told, if it is not to be served. `listener`: where it has connected, if a successor may take that over.
  absl::Status Begin(transport::Newcomer newcomer, const Transports& transports, const absl::Status& refusal,
                     const std::shared_ptr<transport::Listener>& listener);

  // The socket is readable.
  void Step(Id id);

  // When the time of the next one is up.
  base::SteadyNs NextDeadline() const;
  void DropLate(base::SteadyNs now);
  void DropAll();
  // Those who have not been let in. The others may believe already that they are connected, and call.
  void DropSilent();

  // Of a finished one, not before somebody else has taken it over.
  size_t count() const { return count_.load(std::memory_order_acquire); }

 private:
  struct HalfOpen {
    std::unique_ptr<transport::ServerHandshake> handshake;
    ConnectionIds::LeasePtr id;
    base::SteadyNs since = 0;
    // Who has connected, as far as the kernel knows. It only says whose place is taken: who speaks may be another.
    uid_t connected_by = 0;
    bool admitted = false;  // counted for `uid`
    uid_t uid = 0;
    std::weak_ptr<transport::Listener> listener;
  };
  using HalfOpenPtr = std::unique_ptr<HalfOpen>;
  using Progress = transport::ServerHandshake::Progress;

  HalfOpenPtr Make(transport::Newcomer newcomer, const Transports& transports, const absl::Status& refusal,
                   const std::shared_ptr<transport::Listener>& listener);
  absl::Status Admit(HalfOpen& half_open, const PeerIdentity& peer, const absl::Status& refusal);
  absl::Status Keep(HalfOpenPtr half_open);
  void Speaks(Id id, const HalfOpen& half_open);
  Id OldestOfTheGreediest() const;
  HalfOpenPtr TakeOut(Id id);
  void End(HalfOpen& half_open, Progress progress);
  void HangUp(HalfOpen& half_open);
  void Drop(Id id);
  void Count();

  ServerCore& core_;
  Admission& admission_;
  ConnectionIds& ids_;
  const OnConnection on_connection_;
  const OnSuccessor on_successor_;
  const uint32_t server_id_;
  int epoll_ = -1;
  Id next_id_ = kFirstId;
  std::map<Id, HalfOpenPtr> half_open_;   // oldest first
  std::map<uid_t, std::set<Id>> silent_;  // those that have not said hello, by who has connected
  size_t silent_count_ = 0;
  std::atomic<size_t> count_{0};
};

}  // namespace nearcall::rpc
