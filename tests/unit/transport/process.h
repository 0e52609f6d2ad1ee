// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/fd.h"
#include "support/no_more_descriptors.h"
#include "support/temporary_directory.h"

// What tests with two processes need. In one header: the test program is made of the *_test.cc files alone.
namespace nearcall::transport::testing {

using nearcall::testing::NameDirectory;
using nearcall::testing::NoMoreDescriptors;
using nearcall::testing::ScopedEnv;
using nearcall::testing::TemporaryDirectory;

// Far away: a test that gets there has failed.
inline base::SteadyNs Soon() {
  return base::AddNs(base::NowNs(), 20'000'000'000);
}

class ScopedUmask {
 public:
  explicit ScopedUmask(mode_t mask) : before_(::umask(mask)) {}
  ~ScopedUmask() { ::umask(before_); }
  ScopedUmask(const ScopedUmask&) = delete;

 private:
  const mode_t before_;
};

// A fork()ed process that runs `body` and exits with what it returns. Killed at the end if it still runs.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : pid_(::fork()) {
    if (pid_ == 0) {
      ::alarm(60);  // whatever happens, it does not outlive the test for long
      ::_exit(body());
    }
  }
  ~Child() { Kill(); }
  Child(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void Kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    Wait();
  }
  // Its exit code; 128 + the signal that ended it.
  int Wait() {
    int status = 0;
    while (::waitpid(std::exchange(pid_, -1), &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

// Says that something happened, between processes and threads. Each Set() lets one Wait() pass.
class Event {
 public:
  Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE)) {}
  // write(2) and read(2), which ThreadSanitizer understands, and not eventfd_write(3).
  void Set() {
    const uint64_t one = 1;
    if (::write(fd_.get(), &one, sizeof(one)) != sizeof(one)) ::abort();
  }
  void Wait() {
    if (WaitFor(20'000)) return;
    std::fprintf(stderr, "an event did not come in 20 s\n");
    ::abort();
  }
  bool IsSet() { return WaitFor(0); }

 private:
  bool WaitFor(int timeout_ms) {
    pollfd item{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    uint64_t value;
    return ::poll(&item, 1, timeout_ms) == 1 && ::read(fd_.get(), &value, sizeof(value)) == sizeof(value);
  }

  const base::Fd fd_;
};

// Of all threads of this process.
inline int64_t CpuTimeNs() {
  timespec used;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return used.tv_sec * 1'000'000'000 + used.tv_nsec;
}

inline bool IsRoot() {
  return ::geteuid() == 0;
}

#define NEARCALL_TEST_NEEDS_ROOT() \
  if (!IsRoot()) GTEST_SKIP() << "SKIPPED: only root can play several users"

// Becomes another user for good. For a child of a test that runs as root.
inline void BecomeUser(uid_t uid) {
  if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) ::abort();
}

inline std::pair<base::Fd, base::Fd> SocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) ::abort();
  return {base::Fd(fds[0]), base::Fd(fds[1])};
}

inline size_t OpenDescriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

}  // namespace nearcall::transport::testing
