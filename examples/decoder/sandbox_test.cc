// SPDX-License-Identifier: Apache-2.0
#include "sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

namespace decoder {
namespace {

// In a process that is in the sandbox.
bool Succeeds(const std::function<bool()>& attempt) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const bool inside = EnterSandbox().ok();
    ::_exit(!inside ? 2 : attempt() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 2) << "status " << status;
  return status == 0;
}

TEST(SandboxTest, TakesWhatADecoderDoesNotNeed) {
  EXPECT_FALSE(Succeeds([] { return ::open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0; }));
  EXPECT_FALSE(Succeeds([] { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0; }));
  EXPECT_FALSE(Succeeds([] { return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0) >= 0; }));
  EXPECT_FALSE(Succeeds([] { return ::execl("/bin/true", "true", nullptr) >= 0 || errno != EPERM; }));
  EXPECT_FALSE(Succeeds([] { return ::kill(::getppid(), SIGUSR1) == 0; }));
  EXPECT_FALSE(Succeeds([] { return ::syscall(SYS_tgkill, 1, 1, 0) == 0; }));
}

TEST(SandboxTest, LeavesWhatItNeeds) {
  EXPECT_TRUE(Succeeds([] { return ::write(STDERR_FILENO, "", 0) == 0; }));
  EXPECT_TRUE(Succeeds([] { return ::syscall(SYS_clone3, nullptr, 0) < 0 && errno == ENOSYS; }));
}

}  // namespace
}  // namespace decoder
