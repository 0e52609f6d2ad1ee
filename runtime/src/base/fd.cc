#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

namespace nearcall::base {

void Fd::Reset(int fd) {
  // close(2): after EINTR the descriptor is gone on Linux; a second close could hit somebody else's.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Fd Duplicate(int fd) {
  return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

}  // namespace nearcall::base
