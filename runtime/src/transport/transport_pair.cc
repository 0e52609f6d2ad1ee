// SPDX-License-Identifier: Apache-2.0
#include "transport/transport_pair.h"

#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/syscall.h"

namespace nearcall::transport {

absl::StatusOr<TransportPair> MakePair(absl::StatusOr<std::unique_ptr<TransportOffer>> offer, AttachEnd* attach) {
  if (!offer.ok()) return offer.status();
  std::vector<base::Fd> fds;
  for (const int fd : (*offer)->fds()) {
    fds.push_back(base::Duplicate(fd));
    if (!fds.back().valid()) return base::ErrnoStatus("cannot duplicate a descriptor");
  }
  absl::StatusOr<std::unique_ptr<Transport>> client = attach(std::move(fds), (*offer)->geometry());
  if (!client.ok()) return client.status();
  absl::StatusOr<std::unique_ptr<Transport>> server = (*offer)->Accept();
  if (!server.ok()) return server.status();
  return TransportPair{.client = *std::move(client), .server = *std::move(server)};
}

}  // namespace nearcall::transport
