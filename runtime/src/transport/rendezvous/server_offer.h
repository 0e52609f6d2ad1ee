// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "base/fd.h"
#include "transport/connection.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/hello.h"
#include "transport/side_socket.h"
#include "transport/transport_table.h"

namespace nearcall::transport {

// The data plane that a server offers a client, from its hello to its acknowledgement.
class ServerOffer {
 public:
  // `params` outlives this.
  explicit ServerOffer(ServeParams& params) : params_(params) {}

  // Asks whether there is a place for this client, and only then makes the best that both have.
  absl::Status Make(const ClientHello& hello, const PeerIdentity& peer);
  // The client has taken it.
  absl::Status Accept(Connection& connection);
  // Nobody takes it.
  void Reset() { offer_.reset(); }

  // Once it is made.
  const TransportRow& row() const { return *row_; }
  Geometry geometry() const { return offer_->geometry(); }
  // The descriptors that go to the client.
  std::vector<int> fds() const;
  bool has_side_socket() const { return side_socket_ != nullptr; }

 private:
  bool IsOffered(const TransportRow& row, const PeerIdentity& peer) const;
  absl::Status NoTransportFor(const ClientHello& hello, const PeerIdentity& peer) const;
  absl::Status MakeBest(const std::vector<const TransportRow*>& possible, const PeerIdentity& peer);
  absl::Status MakeSideSocket();

  ServeParams& params_;
  std::unique_ptr<TransportOffer> offer_;
  const TransportRow* row_ = nullptr;  // which offer_ is of
  std::unique_ptr<SideSocket> side_socket_;
  base::Fd clients_side_socket_;  // until the client has it
};

}  // namespace nearcall::transport
