// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace nearcall::testing {

// How often the threads of this process have taken memory by operator new, and a mutex. For programs that are linked
// with costs.cc, --wrap=_Znwm and --wrap=pthread_mutex_lock; what shared libraries do for themselves is not counted.
size_t Allocations();
size_t LocksTaken();

}  // namespace nearcall::testing
