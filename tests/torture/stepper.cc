// SPDX-License-Identifier: Apache-2.0
#include "torture/stepper.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "base/syscall.h"

namespace nearcall::integration {

namespace {

constexpr unsigned kLongestLife = 120;  // seconds

}  // namespace

void SteppedProcess::Marker::Begin() const {
  ::raise(SIGSTOP);
}

void SteppedProcess::Marker::End() const {
  ::raise(SIGSTOP);
}

SteppedProcess::SteppedProcess(const Body& body) : pid_(::fork()) {
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(kLongestLife);
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(2);
  try {
    body(Marker());
  } catch (...) {
    ::_exit(1);
  }
  ::_exit(0);
}

bool SteppedProcess::RunToBegin() {
  return WaitForStop() == SIGSTOP;
}

size_t SteppedProcess::Step(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0) throw std::runtime_error("PTRACE_SINGLESTEP");
    if (WaitForStop() != SIGTRAP) return i;
  }
  return count;
}

int SteppedProcess::WaitForStop() {
  int status = 0;
  base::Retry([&] { return ::waitpid(pid_, &status, 0); });
  return WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
}

void SteppedProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  do {
    base::Retry([&] { return ::waitpid(pid_, &status, 0); });
  } while (WIFSTOPPED(status));
  pid_ = -1;
}

}  // namespace nearcall::integration
