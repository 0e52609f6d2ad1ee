// SPDX-License-Identifier: Apache-2.0
#include "base/poll.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>

namespace nearcall::base {

bool IsReadable(int fd, SteadyNs deadline) {
  for (;;) {
    pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
    const timespec left = ToTimespec(std::max<int64_t>(deadline - NowNs(), 0));
    const int ready = ::ppoll(&item, 1, &left, nullptr);
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

Fd OpenPidfd(pid_t pid) {
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace nearcall::base
