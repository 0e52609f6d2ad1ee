// SPDX-License-Identifier: Apache-2.0
#pragma once

// NEARCALL_CHECK(condition): for our own bugs only, never for what a peer or a user sent. Always on.
#define NEARCALL_CHECK(condition) \
  (static_cast<bool>(condition) ? static_cast<void>(0) : ::nearcall::base::CheckFailed(#condition, __FILE__, __LINE__))

namespace nearcall::base {

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace nearcall::base
