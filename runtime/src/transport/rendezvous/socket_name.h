#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "base/limits.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport {

// A server's name, or that of its socket before it listens: '.', name, ".new".
inline constexpr size_t kMaxFileNameSize = base::kMaxNameSize + 5;

// What stands under a name of a directory. A server is live if connect(2) says so; nothing else is asked (no pid file).
enum class NameState {
  kAbsent,
  kLive,     // somebody listens
  kDead,     // a socket of our kind on which nobody listens
  kForeign,  // no socket, or one of another kind, or one that must not be connected to
};

// RESOURCE_EXHAUSTED if there is no descriptor to find out with.
absl::StatusOr<NameState> ProbeName(const Directory& directory, const std::string& name);

// Removes dead sockets that killed servers left, at most kMaxNamesProbed are looked at. For a directory of Nearcall's
// own, under its lock.
void SweepDeadNames(const Directory& directory);

}  // namespace nearcall::transport
