// SPDX-License-Identifier: Apache-2.0
#include "bench/worker.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::bench {

namespace {

constexpr int kPatienceMs = 60'000;

[[noreturn]] void RunAsWorker(int talk, pid_t parent, const std::function<void()>& body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  ::dup2(talk, STDIN_FILENO);
  ::dup2(talk, STDOUT_FILENO);
  // The talk of the other workers is not ours: they would not see it end.
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  body();
  std::cout.flush();
  ::_exit(0);
}

}  // namespace

void Die(const std::string& why) {
  std::cerr << "call_bench: " << why << std::endl;
  std::exit(1);
}

Worker::Worker(const std::function<void()>& body) {
  int ends[2];
  NEARCALL_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  talk_.Reset(ends[0]);
  const base::Fd theirs(ends[1]);
  std::fflush(nullptr);
  std::cout.flush();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) RunAsWorker(theirs.get(), parent, body);
  if (pid_ < 0) Die("cannot fork");
}

Worker::~Worker() {
  ::shutdown(talk_.get(), SHUT_WR);
  const base::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  pollfd ended = {.fd = process.get(), .events = POLLIN, .revents = 0};
  if (base::Retry([&] { return ::poll(&ended, 1, kPatienceMs); }) == 0) StartKill();
  base::Retry([&] { return ::waitpid(pid_, nullptr, 0); });
}

std::string Worker::ReadLine() {
  for (;;) {
    if (std::optional<std::string> line = lines_.Take()) return *std::move(line);
    pollfd ready = {.fd = talk_.get(), .events = POLLIN, .revents = 0};
    if (base::Retry([&] { return ::poll(&ready, 1, kPatienceMs); }) == 0) Die(absl::StrCat("process ", pid_, " hangs"));
    if (!lines_.Read(talk_.get())) return {};
  }
}

void Worker::WriteLine(const std::string& line) {
  testing::WriteLine(talk_.get(), line);
}

void Worker::StartKill() {
  ::kill(pid_, SIGKILL);
}

}  // namespace nearcall::bench
