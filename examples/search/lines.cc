// SPDX-License-Identifier: Apache-2.0
#include "lines.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

namespace search {

Lines::Lines(int fd, const std::stop_token& stop) : fd_(fd), on_stop_(stop, [this] { stopped_.Set(); }) {}

Lines::Event::Event() : fd_(::eventfd(0, EFD_CLOEXEC)) {}

Lines::Event::~Event() {
  if (fd_ >= 0) ::close(fd_);
}

void Lines::Event::Set() const {
  (void)::eventfd_write(fd_, 1);
}

bool Lines::Next(std::string* line) {
  size_t newline;
  while ((newline = unread_.find('\n')) == std::string::npos) {
    if (ended_ || !ReadMore()) {
      ended_ = true;
      *line = std::exchange(unread_, {});
      return !line->empty();  // the last one may lack its newline
    }
  }
  *line = unread_.substr(0, newline);
  unread_.erase(0, newline + 1);
  return true;
}

bool Lines::ReadMore() {
  pollfd ready[] = {{.fd = fd_, .events = POLLIN, .revents = 0}, {.fd = stopped_.fd(), .events = POLLIN, .revents = 0}};
  while (::poll(ready, 2, -1) < 0) {
    if (errno != EINTR) return false;
  }
  if (ready[1].revents != 0) return false;
  char buffer[4096];
  ssize_t size;
  while ((size = ::read(fd_, buffer, sizeof buffer)) < 0 && errno == EINTR) continue;
  if (size <= 0) return false;
  unread_.append(buffer, static_cast<size_t>(size));
  return true;
}

}  // namespace search
