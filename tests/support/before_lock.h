// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace nearcall::testing {

// Before the next flock(2) of this process `what` is done, once. For programs that are linked with before_lock.cc and
// --wrap=flock.
void BeforeNextLock(std::function<void()> what);

}  // namespace nearcall::testing
