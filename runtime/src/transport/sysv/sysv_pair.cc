// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/sysv_pair.h"

#include <unistd.h>

#include <utility>

#include "transport/sysv/sysv_offer.h"

namespace nearcall::transport::sysv {

namespace {

PeerIdentity Self() {
  return {.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> AttachOwn(std::vector<base::Fd>&& fds, const Geometry& geometry) {
  return AttachSysv(std::move(fds), geometry, Self());
}

absl::StatusOr<TransportPair> MakeSysvPair() {
  return MakePair(OfferSysv({}, Self()), &AttachOwn);
}

}  // namespace nearcall::transport::sysv
