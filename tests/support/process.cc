// SPDX-License-Identifier: Apache-2.0
#include "support/process.h"

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::testing {

namespace {

// Sockets, because a pipe without a reader would end us with SIGPIPE.
struct Pipe {
  Pipe() {
    int ends[2];
    NEARCALL_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    read.Reset(ends[0]);
    write.Reset(ends[1]);
  }
  base::Fd read;
  base::Fd write;
};

int WaitFor(pid_t pid) {
  int status = 0;
  base::Retry([&] { return ::waitpid(pid, &status, 0); });
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

Process::Process(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  Pipe to;
  Pipe from;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, to.read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, from.write.get(), STDOUT_FILENO);
  NEARCALL_CHECK(::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  input_ = std::move(to.write);
  output_ = std::move(from.read);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      lines_(std::move(other.lines_)) {}

std::string Process::ReadLine() {
  for (;;) {
    if (std::optional<std::string> line = lines_.Take()) return *std::move(line);
    if (!lines_.Read(output_.get())) return {};
  }
}

void Process::WriteLine(const std::string& line) {
  testing::WriteLine(input_.get(), line);
}

void Process::StartKill() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void Process::Kill() {
  if (pid_ <= 0) return;
  StartKill();
  WaitFor(std::exchange(pid_, -1));
  input_.Reset();
  output_.Reset();
}

int Process::End() {
  input_.Reset();
  const int code = WaitFor(std::exchange(pid_, -1));
  output_.Reset();
  return code;
}

std::string Process::Self() {
  std::array<char, 4096> path;
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  NEARCALL_CHECK(size > 0);
  return std::string(path.data(), static_cast<size_t>(size));
}

}  // namespace nearcall::testing
