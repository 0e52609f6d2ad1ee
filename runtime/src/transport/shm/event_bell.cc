// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/event_bell.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/syscall.h"

namespace nearcall::transport::shm {

namespace {

bool IsSocket(const base::Fd& fd) {
  int type;
  socklen_t size = sizeof(type);
  return ::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

}  // namespace

absl::Status EventBell::Verify(const base::Fd& fd) {
  // An eventfd refuses a read that is shorter than its counter, before it looks at anything. RWF_NOWAIT is refused by
  // whatever might block or ask somebody. What else answers EINVAL cannot be written, sockets excepted. (/proc would
  // tell the kind by name, but is missing in many sandboxes.)
  uint32_t too_short;
  iovec to{.iov_base = &too_short, .iov_len = sizeof(too_short)};
  const bool refused = ::preadv2(fd.get(), &to, 1, /*offset=*/-1, RWF_NOWAIT) == -1 && errno == EINVAL;
  if (refused && !IsSocket(fd)) return absl::OkStatus();
  return absl::InternalError("the peer sent a descriptor for a doorbell that is not an eventfd");
}

void EventBell::Ring() {
  const uint64_t one = 1;
  // The only possible failure is EAGAIN, with a counter that only the peer can have filled.
  [[maybe_unused]] const ssize_t written = base::Retry([&] { return ::write(fd_.get(), &one, sizeof(one)); });
}

void EventBell::Unblock() {
  // SUBTLE: only a full counter. What is in any other is a ring that the peer has yet to hear: its epoll reports
  // nothing when the counter is zero again by the time it looks.
  pollfd room{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&room, 1, /*timeout=*/0) != 0) return;
  uint64_t count;
  iovec to{.iov_base = &count, .iov_len = sizeof(count)};
  [[maybe_unused]] const ssize_t taken = ::preadv2(fd_.get(), &to, 1, /*offset=*/-1, RWF_NOWAIT);
}

}  // namespace nearcall::transport::shm
