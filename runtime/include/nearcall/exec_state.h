// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "nearcall/export.h"

namespace nearcall {

// How far a call got before it failed. This, and not the status code, tells whether a call may be repeated.
enum class ExecState : uint8_t {
  kNotSent,        // never left this process: safe to repeat
  kNotStarted,     // no handler has seen it: safe to repeat
  kMaybeExecuted,  // unknown: repeat only what is idempotent
  kExecuted,       // a handler ran to its end
};

// The state that a failed call left in its status. kExecuted for an OK status; kMaybeExecuted for a status that carries
// none (one that Nearcall did not make).
NEARCALL_EXPORT ExecState ExecStateOf(const absl::Status& status);

}  // namespace nearcall
