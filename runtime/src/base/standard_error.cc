// SPDX-License-Identifier: Apache-2.0
#include "base/standard_error.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "base/limits.h"
#include "base/syscall.h"

namespace nearcall::base {

namespace {

constexpr int kPollMs = 100;

bool HasRoom(int timeout_ms) {
  pollfd error{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  // A descriptor that is closed, or broken, takes everything.
  return ::poll(&error, 1, timeout_ms) != 0;
}

bool IsPipe() {
  struct stat status;
  return ::fstat(STDERR_FILENO, &status) == 0 && S_ISFIFO(status.st_mode);
}

// As write(2); EAGAIN: no room.
ssize_t WriteNow(absl::string_view text) {
  const ssize_t sent = ::send(STDERR_FILENO, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  if (!HasRoom(0)) {
    errno = EAGAIN;
    return -1;
  }
  // A pipe that has room takes a whole line (PIPE_BUF). Another process may be faster, so it is written to without
  // waiting where the kernel can do that (Linux 6.4).
  if (IsPipe()) {
    iovec piece{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
    const ssize_t written = ::pwritev2(STDERR_FILENO, &piece, 1, -1, RWF_NOWAIT);
    if (written >= 0 || (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)) return written;
  }
  return ::write(STDERR_FILENO, text.data(), text.size());
}

// Keeps SIGPIPE from this thread, and takes away the one that a write has raised.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    ::sigemptyset(&sigpipe_);
    ::sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec now{};
    if (!was_pending_) Retry([&] { return ::sigtimedwait(&sigpipe_, nullptr, &now); });
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  sigset_t sigpipe_;
  sigset_t before_;
  bool was_pending_;
};

}  // namespace

bool StandardError::TryWrite(absl::string_view text) {
  const WithoutSigpipe without_sigpipe;
  const absl::string_view line = text.substr(0, kMaxLogLineSize);
  const ssize_t written = Retry([&] { return WriteNow(line); });
  return written >= 0 || errno != EAGAIN;
}

void StandardError::WaitForRoom() {
  HasRoom(kPollMs);
}

}  // namespace nearcall::base
