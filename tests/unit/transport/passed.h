// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/fd.h"
#include "transport/transport_table.h"

namespace nearcall::transport {

// What a client is passed: descriptors of its own of what the server offers.
inline std::vector<base::Fd> Passed(const TransportOffer& offer) {
  std::vector<base::Fd> fds;
  for (const int fd : offer.fds()) fds.push_back(base::Duplicate(fd));
  return fds;
}

}  // namespace nearcall::transport
