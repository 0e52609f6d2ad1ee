// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/fd.h"
#include "nearcall/server_context.h"
#include "transport/control.h"
#include "transport/side_socket.h"
#include "transport/transport.h"

namespace nearcall::transport {

class Child;

// What one side of a connection grants the other, said in its hello. Sessions fill and read it; the rendezvous only
// carries it.
struct SessionTerms {
  uint32_t max_message_size = 0;     // the largest message that this side takes
  uint32_t max_calls_in_flight = 0;  // that the other side may have begun and not seen answered; 0: none at all
  uint32_t stream_window = 0;        // bytes of a stream's elements that it may send before it gets credit
  uint8_t max_descriptors = 0;       // that it may send with a message, where there is a side socket
  uint8_t max_attachments = 0;       // that it may send with a message; 0: this side knows none
  // Of these, in bytes of a message, that may be passed, where there is a side socket.
  uint32_t max_attachment_bytes = 0;
  uint8_t takes_lent = 0;  // 1: and these may be lent, too
};

// A finished handshake: everything one side needs to talk to the other.
struct Connection {
  std::unique_ptr<Transport> transport = {};
  base::Fd control =
      {};  // the rendezvous socket, which stays open: control messages, and its hang-up is the peer's death
  base::Fd peer_pidfd = {};  // becomes readable when the peer dies; invalid where the kernel gives none
  std::unique_ptr<InBandControl> in_band = {};                                                // in place of both
  PeerIdentity peer{.pid = 0, .uid = static_cast<uid_t>(-1), .gid = static_cast<gid_t>(-1)};  // from the kernel
  uint32_t local_id = 0;  // source_id of what this side sends
  uint32_t peer_id = 0;   // source_id of what the peer sends
  SessionTerms peer_terms = {};
  bool peer_wants_method_names = false;          // a server: in each request
  std::unique_ptr<SideSocket> side_socket = {};  // over which descriptors go; null: none do
  std::shared_ptr<Child> child = {};             // the server, if this process has started it

  ControlEnd TakeControl() { return {std::move(control), std::move(peer_pidfd), std::move(in_band)}; }
};

}  // namespace nearcall::transport
