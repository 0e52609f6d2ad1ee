// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace nearcall::transport {

// A message of the handshake, as it came.
struct HelloMessage {
  std::vector<std::byte> bytes;  // at most kMaxHelloSize; a longer one is cut, and is then of no size that we know
  std::optional<ucred> sender;   // by the kernel; unset if it did not say
  bool brings_fds = false;       // looked at: descriptors come with it
  std::vector<base::Fd> fds;     // taken
  bool lost_fds = false;         // descriptors came that could not be taken
};

inline constexpr size_t kMaxHelloSize = 512;
inline constexpr size_t kMaxHelloFds = 5;

// Sends one message with this process's credentials and `fds`. Never blocks, raises no SIGPIPE.
absl::Status SendHello(const base::Fd& socket, std::span<const std::byte> bytes, std::span<const int> fds = {});

// The next message; nullopt if there is none yet. UNAVAILABLE if the peer has hung up. Never blocks. What is only
// looked at stays, and so do the descriptors that it brings: whoever does not want them never takes it, and closes the
// socket by CloseSocket (peer_socket.h, which says why).
enum class Taking : bool { kLook, kTake };
absl::StatusOr<std::optional<HelloMessage>> ReceiveHello(const base::Fd& socket, Taking taking);

}  // namespace nearcall::transport
