// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"

namespace nearcall::base {

// Code and text of `status`, without its payloads, in memory of their own: for another thread. A copy of an
// absl::Status shares its memory, and what one owner does with it the others may see.
inline absl::Status UnsharedCopy(const absl::Status& status) {
  return absl::Status(status.code(), status.message());
}

}  // namespace nearcall::base
