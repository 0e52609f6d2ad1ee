// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/poll.h"
#include "base/syscall.h"
#include "transport/rendezvous/credentials.h"

namespace nearcall::transport {

namespace {

// The first one behind the standard ones, as systemd passes sockets.
constexpr int kInheritedFd = 3;

// The pointers that exec takes, into `texts`.
std::vector<char*> PointersTo(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// "NAME=" of "NAME=value".
std::string NameOf(absl::string_view variable) {
  return std::string(variable.substr(0, variable.find('=') + 1));
}

std::vector<std::string> EnvironmentFor(const Program& program) {
  std::vector<std::string> all = program.env;
  all.push_back(absl::StrCat(kInheritedFdVariable, "=", kInheritedFd));
  if (!program.inherit_env) return all;
  std::vector<std::string> own;
  for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
    const auto overrides = [name = NameOf(*variable)](const std::string& other) { return NameOf(other) == name; };
    if (std::none_of(all.begin(), all.end(), overrides)) own.emplace_back(*variable);
  }
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

// Which descriptors the child has, and where it stands.
class Actions {
 public:
  Actions() { NEARCALL_CHECK(::posix_spawn_file_actions_init(&actions_) == 0); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&actions_); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;

  const posix_spawn_file_actions_t* get() const { return &actions_; }

  // 0, or ENOMEM. `directory` may be not valid. SUBTLE: in this order, for the numbers up to 3 may be the others'.
  int Set(const base::Fd& directory, const base::Fd& null, const base::Fd& socket) {
    int error = directory.valid() ? ::posix_spawn_file_actions_addfchdir_np(&actions_, directory.get()) : 0;
    // What a child prints is for people: it must not get into what this program writes.
    const int for_people = ::fcntl(STDERR_FILENO, F_GETFD) >= 0 ? STDERR_FILENO : null.get();
    if (error == 0) error = ::posix_spawn_file_actions_adddup2(&actions_, null.get(), STDIN_FILENO);
    if (error == 0) error = ::posix_spawn_file_actions_adddup2(&actions_, for_people, STDOUT_FILENO);
    if (error == 0) error = ::posix_spawn_file_actions_adddup2(&actions_, for_people, STDERR_FILENO);
    // If it has that number already it is kept open all the same.
    if (error == 0) error = ::posix_spawn_file_actions_adddup2(&actions_, socket.get(), kInheritedFd);
    if (error == 0) error = ::posix_spawn_file_actions_addclosefrom_np(&actions_, kInheritedFd + 1);
    return error;
  }

 private:
  posix_spawn_file_actions_t actions_;
};

// No signal is blocked or ignored in the child, whatever is in this process; its group is its own.
class Attributes {
 public:
  Attributes() {
    NEARCALL_CHECK(::posix_spawnattr_init(&attributes_) == 0);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

absl::Status CannotStart(int error, const std::string& path) {
  const std::string what = absl::StrCat("cannot start ", path);
  const std::string why = std::generic_category().message(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(
          absl::StrCat(what, ": ", why, "; there is no such program, or no interpreter that its first line names"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(what, ": ", why, "; it must be a file that this user may execute (chmod +x)"));
    case ENOEXEC:
      return absl::FailedPreconditionError(
          absl::StrCat(what, ": ", why, "; it is no program for this machine, nor a script that begins with #!"));
    case E2BIG:
      return absl::InvalidArgumentError(absl::StrCat(what, ": ", why, " (ChannelOptions::exec)"));
    case EAGAIN:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, ": ", why, "; no further process may be made (ulimit -u, pids.max of the control group)"));
    default:
      return base::ErrnoStatus(error, what);
  }
}

absl::StatusOr<base::Fd> OpenDirectory(const std::string& path) {
  base::Fd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid()) return directory;
  const std::string what = absl::StrCat("the working directory ", path, " (ChannelOptions::exec.cwd)");
  if (errno == ENOENT || errno == ENOTDIR) {
    return absl::NotFoundError(absl::StrCat(what, ": ", std::generic_category().message(errno)));
  }
  return base::ErrnoStatus(what);
}

void KillAndReap(pid_t pid) {
  ::kill(pid, SIGKILL);  // nobody has reaped it, so it is still that process
  base::Retry([&] { return ::waitpid(pid, nullptr, 0); });
}

// Whether that process is a child of this one, or was until now. (Else the child has ended, somebody has waited for it,
// and its number is another's.)
bool IsOwnChild(const base::Fd& pidfd) {
  siginfo_t info{};
  return base::Retry([&] {
           return ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG | WNOWAIT);
         }) == 0;
}

absl::StatusOr<base::Fd> OpenPidfd(pid_t pid, const std::string& path) {
  base::Fd pidfd = base::OpenPidfd(pid);
  if (!pidfd.valid() && errno != ESRCH) {
    absl::Status failed = base::ErrnoStatus(absl::StrCat("cannot watch ", path, ", just started: pidfd_open"));
    KillAndReap(pid);
    return failed;
  }
  if (pidfd.valid() && IsOwnChild(pidfd)) return pidfd;
  return absl::UnavailableError(absl::StrCat(
      path,
      " ended as soon as it was started, and how is not known: SIGCHLD is ignored, or something else in this "
      "process waits for all children"));
}

}  // namespace

absl::StatusOr<Spawned> Spawn(const Program& program) {
  std::array<int, 2> ends;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return base::ErrnoStatus(absl::StrCat("cannot start ", program.path, " (socketpair)"));
  }
  base::Fd own(ends[0]);
  const base::Fd childs(ends[1]);
  // Before anybody can speak.
  if (absl::Status prepared = PrepareToIdentify(own, /*accept_fds=*/true); !prepared.ok()) return prepared;
  const base::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return base::ErrnoStatus(absl::StrCat("cannot start ", program.path, " (open /dev/null)"));
  base::Fd directory;
  if (!program.cwd.empty()) {
    absl::StatusOr<base::Fd> opened = OpenDirectory(program.cwd);
    if (!opened.ok()) return opened.status();
    directory = *std::move(opened);
  }
  Actions actions;
  if (const int error = actions.Set(directory, null, childs); error != 0) return CannotStart(error, program.path);
  const Attributes attributes;
  std::vector<std::string> argv = program.argv;
  if (argv.empty()) argv.push_back(program.path);
  std::vector<std::string> env = EnvironmentFor(program);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.path.c_str(), actions.get(), attributes.get(), PointersTo(argv).data(),
                                  PointersTo(env).data());
  if (error != 0) return CannotStart(error, program.path);
  absl::StatusOr<base::Fd> pidfd = OpenPidfd(pid, program.path);
  if (!pidfd.ok()) return pidfd.status();
  return Spawned{.socket = std::move(own), .pidfd = *std::move(pidfd), .pid = pid};
}

absl::Status CheckProgram(const Program& program) {
  const auto has_zero = [](const std::string& text) { return absl::StrContains(text, '\0'); };
  const auto has_no_name = [](const std::string& text) {
    return text.find('=') == std::string::npos || text[0] == '=';
  };
  if (std::any_of(program.argv.begin(), program.argv.end(), has_zero)) {
    return absl::InvalidArgumentError("ChannelOptions::exec.argv: an argument holds a zero byte");
  }
  const auto bad = std::find_if(program.env.begin(), program.env.end(), [&](const std::string& variable) {
    return has_zero(variable) || has_no_name(variable);
  });
  if (bad != program.env.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ChannelOptions::exec.env: \"", bad->c_str(), "\" is not NAME=value, without a zero byte"));
  }
  if (has_zero(program.cwd)) return absl::InvalidArgumentError("ChannelOptions::exec.cwd holds a zero byte");
  return absl::OkStatus();
}

}  // namespace nearcall::transport
