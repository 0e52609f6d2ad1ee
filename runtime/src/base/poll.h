// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "base/clock.h"
#include "base/fd.h"

namespace nearcall::base {

// Whether `fd` is readable, or has hung up, before `deadline`; one that has passed: now.
bool IsReadable(int fd, SteadyNs deadline = 0);

// What is readable once that process has ended (pidfd_open(2)). Invalid, and errno says why: ESRCH if it has been
// reaped.
Fd OpenPidfd(pid_t pid);

}  // namespace nearcall::base
