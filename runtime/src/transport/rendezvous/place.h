// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "transport/address.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport {

// The mark of our sockets, by which one is known for ours when nobody listens any more. Cleaners of temporary files
// spare what has it (XDG Base Directory Specification).
inline constexpr mode_t kSocketMark = 01000;  // S_ISVTX

// Where a server's socket is put, and how.
struct Place {
  // Which of the dead sockets beside it are removed. In a directory that the user chose other programs may have theirs.
  enum class Sweep { kNone, kMarked, kAll };

  Directory directory;
  std::string name;
  std::string lock_name;
  mode_t mode = 0;
  std::optional<gid_t> group = {};
  Sweep sweep = Sweep::kNone;
};

// For a name, or a path: PERMISSION_DENIED if others could put something else in the socket's place.
absl::StatusOr<Place> PlaceOf(const Address& address, const SocketAccess& access);

}  // namespace nearcall::transport
