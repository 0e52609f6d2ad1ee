// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace nearcall::base {

// Owns a file descriptor and closes it. Not synchronised.
//
// Never has one of the numbers 0 to 2, which whoever prints and reads takes for his own: where a program starts with
// one of them closed, the kernel gives it to the next descriptor. What comes with such a number is moved at once; if
// there is no room for that it is closed, the object not valid, and errno says why.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(IsStandard(fd) ? MoveAway(fd) : fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1);

 private:
  static bool IsStandard(int fd) { return fd >= 0 && fd <= 2; }
  static int MoveAway(int fd);

  int fd_ = -1;
};

// Another descriptor of what is open at `fd`, closed by exec. Not valid, and errno says why, if there can be none.
Fd Duplicate(int fd);

}  // namespace nearcall::base
