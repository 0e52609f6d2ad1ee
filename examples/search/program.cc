// SPDX-License-Identifier: Apache-2.0
#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace search {

namespace {

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  ::abort();
}

int Checked(int result, const char* what) {
  if (result < 0) Die(what);
  return result;
}

}  // namespace

void Program::Fd::Reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

// A terminal holds little: a test that writes much to one must not wait for the end before it reads.
void Program::OpenErrors(Errors errors) {
  if (errors == Errors::kToFile) {
    errors_.Reset(Checked(::memfd_create("errors", MFD_CLOEXEC), "memfd_create"));
    its_errors_.Reset(Checked(::fcntl(errors_.get(), F_DUPFD_CLOEXEC, 3), "fcntl"));
    return;
  }
  errors_.Reset(Checked(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), "posix_openpt"));
  std::array<char, 64> name{};
  if (::grantpt(errors_.get()) != 0 || ::unlockpt(errors_.get()) != 0 ||
      ::ptsname_r(errors_.get(), name.data(), name.size()) != 0) {
    Die("pseudo terminal");
  }
  its_errors_.Reset(Checked(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC), name.data()));
}

Program::Program(const std::vector<std::string>& command, Errors errors) {
  int in[2];  // a socket: to write to a program that has ended is no SIGPIPE then
  int out[2];
  Checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), "socketpair");
  Checked(::pipe2(out, O_CLOEXEC), "pipe2");
  input_.Reset(in[1]);
  output_fd_.Reset(out[0]);
  const Fd its_input(in[0]);
  const Fd its_output(out[1]);
  OpenErrors(errors);

  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, its_input.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, its_output.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, its_errors_.get(), STDERR_FILENO);
  errno = ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (errno != 0) Die(arguments[0]);
  lines_ = std::make_unique<Lines>(output_fd_.get(), std::stop_token());
}

Program::~Program() {
  if (pid_ <= 0) return;
  Signal(SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string Program::ReadLine() {
  std::string line;
  if (lines_->Next(&line)) output_ += line + "\n";
  return line;
}

void Program::WriteLine(const std::string& line) const {
  const std::string text = line + "\n";
  (void)::send(input_.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

void Program::Signal(int signal) const {
  ::kill(pid_, signal);
}

int Program::End() {
  std::string line;
  while (lines_->Next(&line)) output_ += line + "\n";
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;
  errors_text_ = ReadErrors();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Program::ReadErrors() const {
  (void)::lseek(errors_.get(), 0, SEEK_SET);
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t size; (size = ::read(errors_.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(size));
  }
  return text;
}

}  // namespace search
