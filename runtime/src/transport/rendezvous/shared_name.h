// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "transport/address.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport {

// A name behind which several servers stand (PROTOCOL.md, "A shared name"): a directory beside the place of the socket
// that one server would have, in which each of them has a socket with a name of its own.

// "search.d"; of a path, too.
std::string SharedDirectoryName(absl::string_view name);

// A name that no other server has: this process's number, for people, and something random.
std::string NewNameOfOne();

// A client's: the addresses of those that have a socket there, dead ones too, at most kMaxNamesProbed. None: nobody
// shares the name. PERMISSION_DENIED for a directory that is not to be trusted, as OpenPrivate() says.
absl::StatusOr<std::vector<Address>> ServersBehind(const Address& name);

}  // namespace nearcall::transport
