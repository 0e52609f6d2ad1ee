// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"

namespace nearcall::base {

// What is open at `fd`, as a path, for system calls that want one. (Not below /proc/self: nothing stands there any more
// when the first thread of a process has ended.)
std::string ProcPath(int fd);
inline std::string ProcPath(const Fd& fd) {
  return ProcPath(fd.get());
}

// Whether such paths lead anywhere: /proc is mounted, and it is that of this process's pid namespace.
bool HasProc();

// chmod(2) of what is open at `fd`, by whatever flags it was opened (O_PATH, too). False, and errno, if it cannot be.
bool ChangeMode(const Fd& fd, mode_t mode);

}  // namespace nearcall::base
