// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/server_offer.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "transport/rendezvous/credentials.h"

namespace nearcall::transport {

namespace {

bool IsWanted(const TransportRow& row, const ClientHello& hello) {
  return (hello.transports & uint32_t{1} << row.bit) != 0;
}

void AppendName(std::string* out, const TransportRow* row) {
  absl::StrAppend(out, row->name);
}

}  // namespace

absl::Status ServerOffer::Make(const ClientHello& hello, const PeerIdentity& peer) {
  std::vector<const TransportRow*> possible;
  std::copy_if(params_.transports.begin(), params_.transports.end(), std::back_inserter(possible),
               [&](const auto* row) { return IsWanted(*row, hello) && IsOffered(*row, peer); });
  if (possible.empty()) return NoTransportFor(hello, peer);
  if (params_.admit) {
    if (absl::Status admitted = params_.admit(peer); !admitted.ok()) return admitted;
  }
  params_.config.socket_bell = (hello.features & kSocketBell) != 0;
  absl::Status offered = MakeBest(possible, peer);
  return offered.ok() && (hello.features & kDescriptors) != 0 ? MakeSideSocket() : offered;
}

// To this client. Users who would be trusted without a list are this process's own and root.
bool ServerOffer::IsOffered(const TransportRow& row, const PeerIdentity& peer) const {
  return !row.has(kWantsTrust) || params_.blockable_for_other_users || IsTrusted(peer.uid, {});
}

absl::Status ServerOffer::NoTransportFor(const ClientHello& hello, const PeerIdentity& peer) const {
  for (const TransportRow* row : params_.transports) {
    if (!IsWanted(*row, hello)) continue;
    return absl::PermissionDeniedError(
        absl::StrCat("the server offers ", row->name, " to its own user and root only, and not to uid ", peer.uid,
                     ", because over it a client can block the server's threads, or use up ",
                     "what all programs share; use another transport (shm:), or set ",
                     "ServerOptions::blockable_transports_for_other_users"));
  }
  absl::Status why =
      absl::FailedPreconditionError(absl::StrCat("the server does not offer the transport asked for; it offers: ",
                                                 absl::StrJoin(params_.transports, ", ", AppendName)));
  why.SetPayload(kNotOffered, {});
  return why;
}

// Of the best one that this machine has: a kernel or a sandbox may lack what another one needs. A limit is told to the
// client instead: it ends, and who meets it would be slower without a word.
absl::Status ServerOffer::MakeBest(const std::vector<const TransportRow*>& possible, const PeerIdentity& peer) {
  absl::Status why;
  for (const TransportRow* row : possible) {
    auto offer = row->offer(params_.config, peer);
    if (offer.ok()) {
      row_ = row;
      offer_ = *std::move(offer);
      return absl::OkStatus();
    }
    why.Update(offer.status());
    if (absl::IsResourceExhausted(offer.status())) break;
  }
  return why;
}

absl::Status ServerOffer::MakeSideSocket() {
  if (!params_.offers_side_socket || row_->has(kNoDescriptors)) return absl::OkStatus();
  auto ends = SideSocket::MakePair(params_.terms.max_descriptors != 0 || params_.terms.max_attachment_bytes != 0);
  if (!ends.ok()) return ends.status();
  side_socket_ = std::make_unique<SideSocket>(std::move(ends->first), /*trusts_peer=*/false);
  clients_side_socket_ = std::move(ends->second);
  return absl::OkStatus();
}

std::vector<int> ServerOffer::fds() const {
  std::vector<int> fds = offer_->fds();
  if (clients_side_socket_.valid()) fds.push_back(clients_side_socket_.get());
  return fds;
}

absl::Status ServerOffer::Accept(Connection& connection) {
  clients_side_socket_.Reset();
  auto transport = std::exchange(offer_, nullptr)->Accept();
  if (!transport.ok()) return transport.status();
  connection.transport = *std::move(transport);
  connection.side_socket = std::move(side_socket_);
  return absl::OkStatus();
}

}  // namespace nearcall::transport
