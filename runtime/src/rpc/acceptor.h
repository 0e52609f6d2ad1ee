#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/fd.h"
#include "base/fork.h"
#include "base/mutex.h"
#include "rpc/poller.h"
#include "rpc/server_core.h"
#include "transport/control.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

// The server's door: its listening sockets, and the handshakes that are under way on them. A client that says nothing
// costs a place among kMaxHalfOpen for ServerOptions::handshake_timeout, and nobody waits for it.
//
// Thread-safe. Runs on the threads of the poller that it is given.
class Acceptor {
 public:
  // `on_connection` takes over a finished handshake and the place it was counted for (see Leave).
  using OnConnection = std::function<void(transport::Connection connection)>;
  using Transports = std::vector<const transport::TransportRow*>;

  Acceptor(ServerCore& core, Poller& poller, OnConnection on_connection);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  absl::Status Start();
  absl::Status Add(std::unique_ptr<transport::Listener> listener, Transports transports);

  // One connected socket.
  absl::Status Serve(base::Fd socket);

  // Gives up names and sockets. Handshakes under way are dropped.
  void Close();

  // A connection of this user has ended.
  void Leave(uid_t uid);

  std::string DebugString();

 private:
  struct Door {
    std::unique_ptr<transport::Listener> listener;
    Transports transports;
  };
  struct HalfOpen {
    uint32_t id = 0;
    std::unique_ptr<transport::ServerHandshake> handshake;
    std::unique_ptr<transport::Timer> timer;
    // Guarded by the mutex.
    bool admitted = false;  // counted in clients_
    bool dropped = false;   // its time is up
    uid_t uid = 0;
    bool stepping = false;  // some thread is in Step()
    bool again = false;     // the socket became readable meanwhile
  };
  using DoorPtr = std::shared_ptr<Door>;
  using HalfOpenPtr = std::shared_ptr<HalfOpen>;

  void AcceptAll(uint32_t watch_id);
  bool AcceptOne(const Door& door);
  bool AcceptWithoutDescriptors(const Door& door);
  void TryAgainSoon();
  absl::Status Begin(base::Fd socket, const Transports& transports, const absl::Status& refusal);
  absl::Status Admit(HalfOpen& half_open, const PeerIdentity& peer, const absl::Status& refusal);
  void Step(uint32_t id);
  void End(uint32_t id, transport::ServerHandshake::Progress progress);
  void Drop(uint32_t id);
  bool IsDropped(const HalfOpen& half_open);
  HalfOpenPtr TakeOutOldestSilent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  HalfOpenPtr TakeOut(uint32_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveLocked(uid_t uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::ForkGuard fork_guard_;
  ServerCore& core_;
  Poller& poller_;
  const OnConnection on_connection_;
  const uint32_t server_id_;
  std::atomic<uint32_t> next_id_{1};
  // Keeps the thread of all timers running, so that a client that comes when nothing is left can still be told so.
  std::unique_ptr<transport::Timer> monitor_;

  base::Mutex mutex_;
  base::Fd reserve_ ABSL_GUARDED_BY(mutex_);  // given up for a moment to refuse a client when descriptors run out
  std::map<uint32_t, DoorPtr> doors_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, HalfOpenPtr> half_open_ ABSL_GUARDED_BY(mutex_);  // oldest first
  std::map<uid_t, size_t> clients_ ABSL_GUARDED_BY(mutex_);            // connections per user
  std::unique_ptr<transport::Timer> accept_timer_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::rpc
