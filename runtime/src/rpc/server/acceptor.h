// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rpc/server/handshakes.h"
#include "rpc/server/listening_sockets.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

// Takes those who wait at a server's listening sockets, and begins their handshakes: a bounded number of each socket in
// a turn. Where it cannot, it tries again after a pause; where that is for want of a descriptor, it tells them so.
//
// Used by the door's thread.
class Acceptor {
 public:
  using Accepted = ListeningSockets::Accepted;

  // What it is given outlives it.
  Acceptor(ServerCore& core, ListeningSockets& sockets, Handshakes& handshakes)
      : core_(core), sockets_(sockets), handshakes_(handshakes) {}
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Before the others. `any`: a descriptor that may be duplicated, and stays open.
  absl::Status Open(int any);

  void TakeTurn();

  // A client has connected; he is told `refusal`, if that is none.
  void Begin(Accepted accepted, const absl::Status& refusal);

  // Before then a turn does nothing.
  base::SteadyNs MayAcceptAt() const { return std::max(pause_until_, handshakes_.RoomAt()); }

 private:
  bool AcceptOne(size_t index);
  bool AcceptWithoutDescriptors(size_t index, int error);
  void CannotAccept(size_t index, const Accepted& failed);

  ServerCore& core_;
  ListeningSockets& sockets_;
  Handshakes& handshakes_;
  int reserve_of_ = -1;
  base::Fd reserve_;  // given up for a moment to refuse a client when descriptors run out
  base::SteadyNs pause_until_ = 0;
  bool in_trouble_ = false;  // and the log knows
};

}  // namespace nearcall::rpc
