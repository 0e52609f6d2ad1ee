// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/socket_name.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/rendezvous/listening_process.h"

namespace nearcall::transport {

namespace {

constexpr int kTriesWithOrphan = 3;

struct Probe {
  NameState state;
  base::Fd socket;  // connected, if there is somebody to be connected to
};

absl::StatusOr<Probe> ConnectTo(const Directory& directory, const std::string& name) {
  struct stat status;
  if (::fstatat(directory.fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return Probe{errno == ENOENT ? NameState::kAbsent : NameState::kForeign, {}};
  }
  // connect(2) would follow a symbolic link, and refuses a plain file as it refuses a dead socket.
  if (!S_ISSOCK(status.st_mode)) return Probe{NameState::kForeign, {}};
  base::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return base::ErrnoStatus("create a socket");
  switch (directory.Connect(fd, name)) {
    case 0:
      return Probe{ListeningProcess(fd).IsDead() ? NameState::kOrphan : NameState::kLive, std::move(fd)};
    case EAGAIN:  // its backlog is full
      return Probe{NameState::kLive, {}};
    case ECONNREFUSED:
      return Probe{NameState::kDead, {}};
    case ENOENT:
      return Probe{NameState::kAbsent, {}};
    case ENOSYS:
      return absl::FailedPreconditionError(absl::StrCat(directory.PathOf(name), " ", kNoWayWithoutProc));
    default:
      return Probe{NameState::kForeign, {}};
  }
}

}  // namespace

absl::StatusOr<NameState> ProbeName(const Directory& directory, const std::string& name) {
  const auto probe = ConnectTo(directory, name);
  if (!probe.ok()) return probe.status();
  return probe->state;
}

absl::StatusOr<NameState> AskOrphan(const Directory& directory, const std::string& name) {
  for (int i = 0; i < kTriesWithOrphan; ++i) {
    const auto probe = ConnectTo(directory, name);
    if (!probe.ok()) return probe.status();
    if (probe->state != NameState::kOrphan) return probe->state;
    const HeirAnswer answer = AskHeir(probe->socket);
    if (answer == HeirAnswer::kAnswers) return NameState::kLive;
    if (answer == HeirAnswer::kSilent) return NameState::kDead;
    // It hung up: the last holder of the socket has ended just now, or an heir wants nothing of us.
  }
  return NameState::kLive;
}

namespace {

bool HasMark(const Directory& directory, const char* name, mode_t mark) {
  struct stat status;
  return ::fstatat(directory.fd(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 && (status.st_mode & mark) == mark &&
         status.st_uid == ::geteuid();
}

}  // namespace

void SweepDeadNames(const Directory& directory, mode_t mark) {
  int probed = 0;
  directory.ForEachEntry([&](const dirent& entry) {
    if (entry.d_type != DT_SOCK && entry.d_type != DT_UNKNOWN) return true;
    if (std::strlen(entry.d_name) > kMaxFileNameSize) return true;  // none of ours
    if (mark != 0 && !HasMark(directory, entry.d_name, mark)) return true;
    if (++probed > base::kMaxNamesProbed) return false;
    const auto state = ProbeName(directory, entry.d_name);
    if (state.ok() && *state == NameState::kDead) ::unlinkat(directory.fd(), entry.d_name, 0);
    return true;
  });
}

}  // namespace nearcall::transport
