// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "base/fd.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/victim.h"

namespace nearcall::fuzz {

// Some kind of descriptor: what a peer may pass where it must not.
base::Fd DescriptorOfKind(size_t kind);

// One message with `fd`, so many times, over `socket`. Never blocks; the kernel may refuse.
void SendWithDescriptors(int socket, std::span<const std::byte> bytes, const base::Fd& fd, size_t count);

// A client that breaks the rules of the handshake itself, as the script says: hellos and acknowledgements that are
// wrong, double, too early, of another process, or with descriptors. Until the script ends or hangs up.
void AttackHandshake(Victim& victim, Input& script);

}  // namespace nearcall::fuzz
