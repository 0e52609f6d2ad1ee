// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "base/limits.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport {

// A server's name, or that of its socket before it listens: '.', name, ".new".
inline constexpr size_t kMaxFileNameSize = base::kMaxNameSize + 5;

// What stands under a name of a directory. connect(2) says so, and whose socket the kernel connects to; nothing else is
// asked (no pid file).
enum class NameState {
  kAbsent,
  kLive,    // somebody listens
  kOrphan,  // somebody holds the socket, but who listened on it is dead: an heir that serves, or one that knows nothing
  kDead,    // a socket of our kind on which nobody listens
  kForeign,  // no socket, or one of another kind, or one that must not be connected to
};

// RESOURCE_EXHAUSTED if there is no descriptor to find out with.
absl::StatusOr<NameState> ProbeName(const Directory& directory, const std::string& name);

// What an orphan is in truth, kLive or kDead. Says hello and waits for an answer, kHeirAnswerNs at most.
absl::StatusOr<NameState> AskOrphan(const Directory& directory, const std::string& name);

// Removes dead sockets that killed servers left, at most kMaxNamesProbed are looked at. Under the directory's lock.
// `mark`: bits that the mode of those has, which then are this user's; 0: all that are dead.
void SweepDeadNames(const Directory& directory, mode_t mark);

}  // namespace nearcall::transport
