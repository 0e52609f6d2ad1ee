// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/bell.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/shared_memory.h"
#include "base/syscall.h"
#include "transport/open_own.h"

namespace nearcall::transport::sysv {

namespace {

// A full pipe of one page is emptied by one call.
constexpr size_t kMostRings = size_t{4} << 10;

}  // namespace

absl::StatusOr<Bell::Made> Bell::Create() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return base::ErrnoStatus("sysv: cannot create a bell (pipe)");
  base::Fd read_end(fds[0]);
  const base::Fd write_end(fds[1]);
  if (::fcntl(read_end.get(), F_SETPIPE_SZ, static_cast<int>(base::PageSize())) == -1) {
    return base::ErrnoStatus("sysv: cannot set the size of a bell (pipe)");
  }
  // A client of another user opens it anew as well. Only who holds a descriptor, or may trace somebody who does, can.
  if (::fchmod(read_end.get(), 0666) != 0) return base::ErrnoStatus("sysv: cannot set the mode of a bell (pipe)");
  absl::StatusOr<base::Fd> own = OpenOwn("sysv", read_end);
  if (!own.ok()) return own.status();
  return Made{.bell = Bell(*std::move(own)), .passed = std::move(read_end)};
}

absl::StatusOr<Bell> Bell::Open(const base::Fd& passed) {
  absl::StatusOr<base::Fd> own = OpenOwn("sysv", passed);
  if (!own.ok()) return own.status();
  return Bell(*std::move(own));
}

void Bell::Ring() {
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = base::Retry([&] { return ::write(own_.get(), &byte, sizeof(byte)); });
}

bool Bell::Take() {
  std::array<char, kMostRings> bytes;
  return base::Retry([&] { return ::read(own_.get(), bytes.data(), bytes.size()); }) > 0;
}

bool Bell::IsWritable() const {
  pollfd item{.fd = own_.get(), .events = POLLOUT, .revents = 0};
  return base::Retry([&] { return ::poll(&item, 1, /*timeout=*/0); }) == 1;
}

}  // namespace nearcall::transport::sysv
