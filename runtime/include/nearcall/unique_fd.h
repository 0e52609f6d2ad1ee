// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <utility>

namespace nearcall {

// Owns a file descriptor, and closes it. What a message brings is given to the program in these, and what a handler
// sends with its reply is taken in them.
//
//   nearcall::UniqueFd frame(memfd_create("frame", MFD_CLOEXEC));
//   if (!frame) return absl::ErrnoToStatus(errno, "memfd_create");
//   context.reply_descriptors().push_back(std::move(frame));
//
// A descriptor that a peer has made may do what no other does: its close(2), and so the end of this object, takes as
// long as the peer likes if it is of a socket that lingers or of a file system of the peer's (FUSE), and so do read(2)
// and the rest; memory of it that is mapped may shrink, which ends the program that touches it (SIGBUS), unless it is
// sealed (fcntl(2), F_GET_SEALS). Only who trusts the peer, or has looked at what it is (fstat(2)), uses it as his own.
//
// Not synchronised.
class UniqueFd {
 public:
  UniqueFd() = default;
  // Takes `fd` over; a negative one is none.
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  // Stays this object's.
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  // The caller's from now on.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }

  // Closes it, if there is one, and takes `fd` over.
  void Reset(int fd = -1) {
    const int former = std::exchange(fd_, fd);
    // After EINTR it is closed, too: a second close(2) could hit another one.
    if (former >= 0) static_cast<void>(::close(former));
  }

 private:
  int fd_ = -1;
};

}  // namespace nearcall
