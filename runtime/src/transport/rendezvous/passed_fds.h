// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "base/closer.h"
#include "base/fd.h"

namespace nearcall::transport {

// Calls `take` with each descriptor that the message has brought; it is this process's from then on. One that is not
// valid had one of the standard numbers, and there was no room to move it.
template <typename Take>
void TakePassedFds(msghdr& message, Take&& take) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t size = header->cmsg_len - CMSG_LEN(0);
    for (size_t offset = 0; offset + sizeof(int) <= size; offset += sizeof(int)) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + offset, sizeof(fd));
      take(base::Fd(fd));
    }
  }
}

// Closes descriptors that are not what they should be, or not wanted; what closing them takes is the peer's choice.
inline void Discard(std::span<base::Fd> fds) {
  for (base::Fd& fd : fds) base::CloseElsewhere(std::move(fd));
}

}  // namespace nearcall::transport
