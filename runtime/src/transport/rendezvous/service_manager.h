// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"

// What systemd(1), or another manager of services that speaks as it does, and a process that it has started have to
// tell each other.
namespace nearcall::transport {

// The listening sockets that it has opened for this process, of that name (FileDescriptorName= of systemd.socket(5)),
// or all if `name` is empty: sd_listen_fds(3). Each is given out once: it is closed on exec from then on, which none is
// that nobody has taken. `text`: the address, for messages. FAILED_PRECONDITION: none was passed to this process, or
// they have been taken; NOT_FOUND: none of that name; INVALID_ARGUMENT: one is no listening SOCK_SEQPACKET socket.
absl::StatusOr<std::vector<base::Fd>> TakeActivatedSockets(const std::string& name, absl::string_view text);

// Tells it `state`, such as "READY=1", if it has asked to be told: sd_notify(3).
void TellServiceManager(absl::string_view state);

}  // namespace nearcall::transport
