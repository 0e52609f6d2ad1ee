// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "base/limits.h"

// What stands in a queue: each frame as a message of its own. runtime/PROTOCOL.md describes it.
namespace nearcall::transport::sysv {

// Stands before the bytes, in memory only.
using MessageType = long;  // NOLINT(google-runtime-int): msgop(2)
inline constexpr size_t kTypeSize = sizeof(MessageType);

// The kernel hands out the lowest type first.
inline constexpr MessageType TypeOf(int lane) {
  return base::kLanes - lane;
}
inline constexpr MessageType kHighestType = TypeOf(0);

}  // namespace nearcall::transport::sysv
