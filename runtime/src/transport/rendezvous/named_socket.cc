// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/named_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/proc_path.h"
#include "base/syscall.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/directory_lock.h"
#include "transport/rendezvous/socket_name.h"

namespace nearcall::transport {

namespace {

absl::Status CheckFree(const Place& place) {
  const std::string path = place.directory.PathOf(place.name);
  auto state = ProbeName(place.directory, place.name);
  if (state.ok() && *state == NameState::kOrphan) state = AskOrphan(place.directory, place.name);
  if (!state.ok()) return state.status();
  switch (*state) {
    case NameState::kAbsent:
      return absl::OkStatus();
    case NameState::kDead:
      if (::unlinkat(place.directory.fd(), place.name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
      return base::ErrnoStatus(absl::StrCat("remove the dead socket ", path));
    case NameState::kOrphan:
    case NameState::kLive:
      return absl::AlreadyExistsError(
          absl::StrCat("a live server has the name (", path, "); stop it or choose another name"));
    case NameState::kForeign:
      break;
  }
  return absl::AlreadyExistsError(absl::StrCat(path, " exists and is not a server's socket; remove it"));
}

absl::Status BindError(int error, const std::string& path) {
  if (error == ENOSYS) return absl::FailedPreconditionError(absl::StrCat(path, " ", kNoWayWithoutProc));
  // What a killed server left was removed just before.
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists, and this user may not remove it; remove it"));
  }
  return base::ErrnoStatus(error, absl::StrCat("bind ", path));
}

// bind(2) gives the file the mode of the socket, less the umask, and a group of its own choice: never more rights than
// it is to have, so those of a group wait for that group.
mode_t ModeToBind(const Place& place) {
  return place.group.has_value() ? place.mode & ~mode_t{077} : place.mode;
}

// Gives the file that was just bound, `file`, what it has not got yet. Whoever owns the directory could have put
// another one in its place: only a socket of this user's with no other name is changed, and no link is followed.
absl::Status SetAccess(const base::Fd& file, const struct stat& status, const Place& place, const std::string& path) {
  const bool has_mode = (status.st_mode & 0777) == (place.mode & 0777);
  if (has_mode && !place.group.has_value()) return absl::OkStatus();
  if (!S_ISSOCK(status.st_mode) || status.st_uid != ::geteuid() || status.st_nlink != 1) {
    return absl::PermissionDeniedError(
        absl::StrCat("somebody has replaced ", path, ", which this server has just made; look at who may write there"));
  }
  constexpr auto kSameUser = static_cast<uid_t>(-1);
  if (place.group && ::fchownat(file.get(), "", kSameUser, *place.group, AT_EMPTY_PATH) != 0) {
    return base::ErrnoStatus(absl::StrCat("give the socket ", path, " to group ", *place.group,
                                          " (ServerOptions::socket_group: only root, or a member of it, may)"));
  }
  if (!has_mode && !base::ChangeMode(file, place.mode)) return base::ErrnoStatus(absl::StrCat("chmod ", path));
  return absl::OkStatus();
}

// Has its mode and group before it listens, so before anybody can connect.
absl::StatusOr<NamedSocket> ListenAs(const Place& place, const std::string& temporary) {
  const std::string path = place.directory.PathOf(temporary);
  NamedSocket socket{.fd = base::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))};
  if (!socket.fd.valid()) return base::ErrnoStatus("create a socket");
  // What is accepted inherits it: a client may speak before anybody could say so for its own socket.
  if (absl::Status prepared = PrepareToIdentify(socket.fd, /*accept_fds=*/false); !prepared.ok()) return prepared;
  if (::fchmod(socket.fd.get(), ModeToBind(place)) != 0) return base::ErrnoStatus("set the mode of a socket");
  ::unlinkat(place.directory.fd(), temporary.c_str(), 0);  // left by a process that was killed just here
  if (const int error = place.directory.Bind(socket.fd, temporary); error != 0) return BindError(error, path);
  const base::Fd file(::openat(place.directory.fd(), temporary.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status;
  if (!file.valid() || ::fstat(file.get(), &status) != 0) return base::ErrnoStatus(absl::StrCat("open ", path));
  if (absl::Status access = SetAccess(file, status, place, path); !access.ok()) return access;
  if (::listen(socket.fd.get(), base::kListenBacklog) != 0) return base::ErrnoStatus(absl::StrCat("listen on ", path));
  socket.id = {.device = status.st_dev, .inode = status.st_ino};
  return socket;
}

void SweepBeside(const Place& place) {
  if (place.sweep == Place::Sweep::kNone) return;
  SweepDeadNames(place.directory, place.sweep == Place::Sweep::kAll ? 0 : kSocketMark);
}

}  // namespace

absl::StatusOr<NamedSocket> ListenAt(const Place& place, int64_t patience_ns) {
  const auto lock = DirectoryLock::Acquire(place.directory, place.lock_name, patience_ns);
  if (!lock.ok()) return lock.status();
  if (absl::Status free = CheckFree(place); !free.ok()) return free;
  SweepBeside(place);

  // Listens before it has its name, so that nobody who finds the name can take it for a dead one.
  const std::string temporary = absl::StrCat(".", place.name, ".new");
  const int directory = place.directory.fd();
  absl::StatusOr<NamedSocket> socket = ListenAs(place, temporary);
  // From before it has its name: nothing that happens to that is missed.
  if (socket.ok()) socket->watch = WatchFile(place.directory.PathOf(temporary));
  if (socket.ok() && ::renameat(directory, temporary.c_str(), directory, place.name.c_str()) == 0) return socket;
  const int error = errno;
  ::unlinkat(directory, temporary.c_str(), 0);
  if (!socket.ok()) return socket.status();
  return base::ErrnoStatus(error, absl::StrCat("rename a socket to ", place.directory.PathOf(place.name)));
}

}  // namespace nearcall::transport
