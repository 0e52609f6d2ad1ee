// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace nearcall::base {

namespace {

constexpr int kFirstOwn = 3;

int DuplicateAboveStandard(int fd) {
  const int duplicate = ::fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwn);
  // What it says if RLIMIT_NOFILE ends there.
  if (duplicate == -1 && errno == EINVAL) errno = EMFILE;
  return duplicate;
}

}  // namespace

int Fd::MoveAway(int fd) {
  const int moved = DuplicateAboveStandard(fd);
  const int error = errno;
  ::close(fd);
  errno = error;
  return moved;
}

void Fd::Reset(int fd) {
  // close(2): after EINTR the descriptor is gone on Linux; a second close could hit somebody else's.
  if (fd_ >= 0) ::close(fd_);
  fd_ = IsStandard(fd) ? MoveAway(fd) : fd;
}

Fd Duplicate(int fd) {
  return Fd(DuplicateAboveStandard(fd));
}

}  // namespace nearcall::base
