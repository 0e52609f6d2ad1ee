// SPDX-License-Identifier: Apache-2.0
#include "child.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <utility>

#include "base/syscall.h"

namespace nearcall::integration {

namespace {

constexpr unsigned kLongestLife = 120;  // seconds, whatever happens to the test
constexpr timeval kLongestWait = {.tv_sec = 30, .tv_usec = 0};

std::pair<Link, Link> MakeLinks() {
  std::array<int, 2> fds;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) != 0) std::abort();
  for (const int fd : fds) ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kLongestWait, sizeof(kLongestWait));
  return {Link(base::Fd(fds[0])), Link(base::Fd(fds[1]))};
}

// The exit code. A test that has failed before the fork is none of the child's business.
int Run(const Child::Body& body, Link& parent) {
  const bool failed_before = ::testing::Test::HasFailure();
  try {
    body(parent);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "child process: %s\n", exception.what());
    return 1;
  }
  return !failed_before && ::testing::Test::HasFailure() ? 1 : 0;
}

}  // namespace

void Link::Tell(absl::string_view text) {
  base::Retry([&] { return ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL); });
}

std::string Link::Await() {
  std::array<char, 4096> text;
  const ssize_t size = base::Retry([&] { return ::recv(socket_.get(), text.data(), text.size(), 0); });
  return size <= 0 ? "" : std::string(text.data(), static_cast<size_t>(size));
}

Child::Child(const Body& body) : link_(base::Fd()) {
  auto [own, childs] = MakeLinks();
  std::fflush(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) {
    link_ = std::move(own);
    return;
  }
  own.Close();
  ::alarm(kLongestLife);
  const int code = Run(body, childs);
  std::fflush(nullptr);
  ::_exit(code);
}

int Child::Join() {
  if (pid_ <= 0) return 1;
  int status = 0;
  base::Retry([&] { return ::waitpid(pid_, &status, 0); });
  pid_ = -1;
  if (WIFSIGNALED(status)) return -WTERMSIG(status);
  return WEXITSTATUS(status) == 0 ? 0 : 1;
}

void Child::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  Join();
}

void BecomeStranger(const std::vector<gid_t>& groups) {
  if (::setgroups(groups.size(), groups.data()) != 0 || ::setresgid(kStranger, kStranger, kStranger) != 0 ||
      ::setresuid(kStranger, kStranger, kStranger) != 0) {
    throw std::runtime_error("cannot become another user");
  }
}

}  // namespace nearcall::integration
