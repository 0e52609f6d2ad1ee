// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/descriptors.h"
#include "base/fd.h"
#include "base/fork.h"
#include "base/reactor.h"

namespace nearcall::transport {

// What travels on the side socket: which message the descriptors beside it belong to.
struct Letter {
  uint8_t lane = 0;   // of the message's first frame, as the next one
  uint8_t count = 0;  // of descriptors
  bool lost = false;  // the sender could not pass them: there are none
  uint64_t sequence = 0;
  uint64_t call_id = 0;
};

// One end of a connection's second socket, over which descriptors go. They are sent before the frame that announces
// them, so whoever reads that finds the letter here. No call blocks, whatever the peer does or has passed.
//
// Threads: Send() by one at a time, Receive() by one at a time, both at once.
class SideSocket {
 public:
  // The server's end, and the client's, which is passed on. `takes`: whether the server takes descriptors at all.
  static absl::StatusOr<std::pair<base::Fd, base::Fd>> MakePair(bool takes);
  // INTERNAL: `fd` is none; it is still there, and who knows what closing it takes.
  static absl::Status Check(const base::Fd& fd);

  // `trusts_peer`: it does not mean to block this process. Else what this process has no room for ends the connection.
  SideSocket(base::Fd socket, bool trusts_peer);
  SideSocket(const SideSocket&) = delete;
  SideSocket& operator=(const SideSocket&) = delete;
  ~SideSocket();

  // Calls `on_room` whenever there is room again after Send() has said that there is none: where control messages are
  // heard (control.h), under no lock; it must not block. RESOURCE_EXHAUSTED as WatchControl().
  absl::Status Watch(std::function<void()> on_room, base::Reactor* reactor);
  // It is not called any more, nor running, unless this is called from within.
  void EndWatch();

  // False: no room now. Descriptors that the kernel does not pass (too many of this user's are under way, one is not
  // open any more), or that are not as many as `letter` says, are lost, and the letter says so.
  bool Send(Letter letter, std::span<const int> descriptors);

  // The next letter, with what it brings. INTERNAL: there is none, or it breaks the protocol; RESOURCE_EXHAUSTED: this
  // process cannot take it. The connection is then of no use. Where descriptors are lost, or over `budget`, `received`
  // says so.
  absl::Status Receive(const std::shared_ptr<base::DescriptorBudget>& budget, Letter& letter,
                       base::Descriptors& received);

 private:
  class Watcher;

  const base::ForkGuard fork_guard_;
  base::Fd socket_;
  const bool trusts_peer_;
  std::unique_ptr<Watcher> watcher_;
};

}  // namespace nearcall::transport
