// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"

namespace nearcall::transport {

// The connected socket with which a client has started this process ($NEARCALL_FD). Given out once: it is closed on
// exec from then on, which none is that nobody has taken. `text`: the address, for messages. FAILED_PRECONDITION: no
// client has, or it has been taken; INVALID_ARGUMENT: it is no such socket.
absl::StatusOr<base::Fd> TakeInheritedSocket(absl::string_view text);

}  // namespace nearcall::transport
