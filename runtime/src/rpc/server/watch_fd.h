// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "absl/status/status.h"
#include "base/syscall.h"

namespace nearcall::rpc {

// From now on `epoll` has an event with `data` whenever something has come to be read from `fd` (edge-triggered).
inline absl::Status WatchFd(int epoll, int fd, uint64_t data) {
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = data}};
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return base::ErrnoStatus("cannot watch a descriptor (epoll_ctl)");
}

}  // namespace nearcall::rpc
