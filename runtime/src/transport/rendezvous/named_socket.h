// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/rendezvous/name_watch.h"
#include "transport/rendezvous/place.h"

namespace nearcall::transport {

// A socket that listens under a name.
struct NamedSocket {
  base::Fd fd = {};
  FileId id = {};       // of the name
  base::Fd watch = {};  // see WatchFile()
};

// Makes one, under the lock of its directory, for which it waits so long at most. ALREADY_EXISTS if a live server, or
// something else, has the name; a dead server's is taken over. Its mode and group do not depend on the umask, and it
// has no name before it listens.
absl::StatusOr<NamedSocket> ListenAt(const Place& place, int64_t patience_ns);

}  // namespace nearcall::transport
