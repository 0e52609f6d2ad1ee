// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/fork.h"
#include "base/thread.h"
#include "rpc/server/acceptor.h"
#include "rpc/server/door_mail.h"
#include "rpc/server/handshakes.h"
#include "rpc/server/in_queue.h"
#include "rpc/server/listening_sockets.h"
#include "rpc/server/server_core.h"
#include "transport/control.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

// A server's door: its listening sockets and the handshakes that are under way, on a thread of its own. What strangers
// do there, however often, costs those who are served nothing but the CPU; and where the kernel makes us wait for
// a stranger, only other strangers wait. (In an event queue it is done in the queue's turns.)
//
// The thread takes a bounded number of clients in a turn, after those who are on their way; who is not taken yet waits
// in the kernel's backlog, and behind it in connect(2).
//
// Thread-safe.
class Door {
 public:
  struct Entry {
    std::unique_ptr<transport::Listener> listener;
    ListeningSockets::Transports transports;
  };

  Door(ServerCore& core, Admission& admission, ConnectionIds& ids, Handshakes::OnConnection on_connection)
      : core_(core),
        sockets_(*core.logger),
        handshakes_(core, admission, ids, std::move(on_connection),
                    [this](const auto& listener, pid_t successor) { OnSuccessor(listener, successor); }),
        acceptor_(core, sockets_, handshakes_) {}
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  // Close() and Stop().
  ~Door();

  // Before Start(): `on_event` runs on the door's thread whenever `fd`, an eventfd, is written to.
  void WatchEvent(int fd, std::function<void()> on_event);

  // Accepts clients; then takes over what other servers have promised (transport::SocketAccess::take_over).
  absl::Status Start(std::vector<Entry> entries);

  // One connected socket.
  absl::Status Serve(base::Fd socket);

  // Gives up names and listening sockets, now. Who has been let in may finish his handshake; the others are dropped.
  void Close();

  // Nobody is on his way in. ServerCore::on_drained is called when that has come about after Close(), or in a server
  // that ends when it is alone.
  bool IsEmpty() const { return mail_.unbegun() == 0 && handshakes_.count() == 0; }

  // Ends the thread. Not from within it.
  void Stop();

  std::string DebugString();

 private:
  absl::Status Open(std::vector<Entry> entries);
  absl::Status StartTurns();
  void Wake();

  // --- the door's thread ---
  void Run();
  size_t TakeTurnInQueue();
  void SetTimer(base::SteadyNs when);
  void TakeTurn(int64_t timeout_ns);
  base::SteadyNs NextTurnAt();
  void OnEvent(uint64_t data);
  void ReadMail();
  void TellIfEmptied();
  void OnSuccessor(const transport::Listener& listener, pid_t successor);

  const base::ForkGuard fork_guard_;
  ServerCore& core_;
  base::Fd epoll_;
  base::Fd wake_;
  int event_fd_ = -1;
  std::function<void()> on_event_;
  std::atomic<bool> stopping_{false};
  base::Thread thread_;
  InQueue in_queue_;  // in place of the thread
  ListeningSockets sockets_;

  // The door's thread's.
  Handshakes handshakes_;
  Acceptor acceptor_;
  bool emptied_ = false;                     // after Close(), and the server knows
  bool somebody_came_ = false;               // since it was empty
  std::unique_ptr<transport::Timer> timer_;  // in an event queue
  base::SteadyNs timer_at_ = base::kNever;   // when it will go off

  DoorMail mail_;
};

}  // namespace nearcall::rpc
