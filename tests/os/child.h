// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

namespace nearcall::testing {

// A forked child that runs `body` and exits with what it returns, 0 to 255. Killed at the end if it still runs.
class Child {
 public:
  template <typename Body>
  explicit Child(Body&& body) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::alarm(30);  // whatever happens to the test
    ::_exit(body());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { Kill(); }

  pid_t pid() const { return pid_; }

  // The exit code; -1 if a signal ended it.
  int Wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // As a crash ends it: nothing of its own runs.
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    Wait();
  }

 private:
  pid_t pid_;
};

// pidfd_open(2). (glibc 2.36 declares it for C only.)
inline base::Fd OpenPidfd(pid_t pid) {
  return base::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace nearcall::testing
