// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/named_fifos.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/limits.h"
#include "base/proc_path.h"
#include "base/syscall.h"
#include "transport/rendezvous/directory_lock.h"
#include "transport/rendezvous/place.h"

namespace nearcall::transport::fifo {

namespace {

using base::Fd;

constexpr absl::string_view kRequests = ".c2s";
constexpr absl::string_view kReplies = ".s2c-";
constexpr mode_t kMode = kSocketMark | 0600;
constexpr int kFlags = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;

std::string NewName(absl::string_view name, absl::string_view kind) {
  return absl::StrCat(".", name, kind, "new");
}

Fd OpenAt(const Directory& directory, const std::string& name, int flags) {
  return Fd(base::Retry([&] { return ::openat(directory.fd(), name.c_str(), flags | kFlags); }));
}

FileId IdOf(const struct stat& status) {
  return {.device = status.st_dev, .inode = status.st_ino};
}

// A FIFO that nobody but this user can open, and root, who can be this user.
absl::Status CheckIsOwn(const Fd& fifo, const std::string& path, struct stat& status) {
  if (::fstat(fifo.get(), &status) != 0) return base::ErrnoStatus(absl::StrCat("fstat ", path));
  if (!S_ISFIFO(status.st_mode)) return absl::UnavailableError(absl::StrCat(path, " (is no FIFO)"));
  if (status.st_uid == ::geteuid() && (status.st_mode & 0077) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrFormat(
      "%s belongs to uid %d and has mode %04o: anybody could pose as the server; expected a FIFO of uid %d and "
      "mode 0600",
      path, status.st_uid, status.st_mode & 0777, ::geteuid()));
}

// Under a name that nobody looks for.
absl::StatusOr<Fd> MakeFifo(const Directory& directory, const std::string& name, int flags, struct stat& status) {
  const std::string path = directory.PathOf(name);
  ::unlinkat(directory.fd(), name.c_str(), 0);  // left by a process that was killed just here
  if (::mknodat(directory.fd(), name.c_str(), S_IFIFO | kMode, 0) != 0) {
    return base::ErrnoStatus(absl::StrCat("make the FIFO ", path));
  }
  // The umask may have taken from it what it takes to open it.
  const Fd made(::openat(directory.fd(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!made.valid()) return base::ErrnoStatus(absl::StrCat("open ", path));
  if (absl::Status own = CheckIsOwn(made, path, status); !own.ok()) return own;
  if ((status.st_mode & 0777) != 0600 && !base::ChangeMode(made, kMode)) {
    return base::ErrnoStatus(absl::StrCat("chmod ", path));
  }
  Fd fifo = OpenAt(directory, name, flags);
  if (!fifo.valid()) return base::ErrnoStatus(absl::StrCat("open ", path));
  if (absl::Status own = CheckIsOwn(fifo, path, status); !own.ok()) return own;
  return fifo;
}

absl::StatusOr<Fifos> MakeUnder(const Directory& directory, const std::string& name, const std::string& requests,
                                const std::string& replies) {
  struct stat status;
  absl::StatusOr<Fd> outgoing = MakeFifo(directory, replies, O_RDWR, status);
  if (!outgoing.ok()) return outgoing.status();
  absl::StatusOr<Fd> incoming = MakeFifo(directory, requests, O_RDONLY, status);
  if (!incoming.ok()) return incoming.status();
  Fifos pair{.incoming = *std::move(incoming), .outgoing = *std::move(outgoing), .id = IdOf(status)};
  // Whoever finds the one to the server finds the other.
  for (const auto& [from, to] :
       {std::pair(replies, RepliesName(name, status.st_ino)), std::pair(requests, RequestsName(name))}) {
    if (::renameat(directory.fd(), from.c_str(), directory.fd(), to.c_str()) != 0) {
      return base::ErrnoStatus(absl::StrCat("rename a FIFO to ", directory.PathOf(to)));
    }
  }
  return pair;
}

// Whether the only one who writes to that FIFO, the server of its pair, has it open. Takes nothing out of it, which may
// be another client's: tee(2) says 0 where nothing comes any more.
enum class Server { kAlive, kDead, kHasAnswered };
absl::StatusOr<Server> LookForServer(const Fd& replies) {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return base::ErrnoStatus("look whether a server lives: pipe2");
  const Fd unread(ends[0]);
  const Fd copy(ends[1]);
  const ssize_t copied = base::Retry([&] { return ::tee(replies.get(), copy.get(), 1, SPLICE_F_NONBLOCK); });
  if (copied == -1 && errno != EAGAIN) return base::ErrnoStatus("look whether a server lives: tee");
  if (copied == 0) return Server::kDead;
  return copied > 0 ? Server::kHasAnswered : Server::kAlive;
}

void RemoveAll(const Directory& directory, const std::vector<std::string>& names) {
  for (const std::string& name : names) ::unlinkat(directory.fd(), name.c_str(), 0);
}

// The names of FIFOs of this user that have our mark and begin so (empty: whatever they begin with).
std::vector<std::string> FifosIn(const Directory& directory, absl::string_view beginning) {
  std::vector<std::string> found;
  directory.ForEachEntry([&](const dirent& entry) {
    const absl::string_view name = entry.d_name;
    if (entry.d_type != DT_FIFO && entry.d_type != DT_UNKNOWN) return true;
    if (!absl::StartsWith(name, beginning)) return true;
    struct stat status;
    if (::fstatat(directory.fd(), entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISFIFO(status.st_mode) &&
        status.st_uid == ::geteuid() && (status.st_mode & kSocketMark) != 0) {
      found.emplace_back(name);
    }
    return found.size() < base::kMaxNamesProbed;
  });
  return found;
}

// False, too, if that is no FIFO of anybody's.
absl::StatusOr<bool> IsServed(const Directory& directory, const std::string& replies) {
  const Fd opened = OpenAt(directory, replies, O_RDONLY);
  if (!opened.valid()) return errno == ENOENT ? absl::StatusOr<bool>(false) : base::ErrnoStatus("open a FIFO");
  const absl::StatusOr<Server> server = LookForServer(opened);
  if (!server.ok()) return server.status();
  return *server != Server::kDead;
}

// The server may be giving the name a new pair just now: then the former one has no name any more.
absl::StatusOr<bool> HasLiveServer(const Directory& directory, const std::string& name) {
  std::optional<FileId> id = FileIdOf(directory, RequestsName(name));
  while (id) {
    absl::StatusOr<bool> served = IsServed(directory, RepliesName(name, id->inode));
    if (!served.ok() || *served) return served;
    const std::optional<FileId> now = FileIdOf(directory, RequestsName(name));
    if (now == id) return false;
    id = now;
  }
  return false;
}

}  // namespace

std::string RequestsName(absl::string_view name) {
  return absl::StrCat(name, kRequests);
}

std::string RepliesName(absl::string_view name, ino_t requests) {
  return absl::StrCat(name, kReplies, requests);
}

absl::StatusOr<Fifos> MakeFifos(const Directory& directory, const std::string& name) {
  const std::string requests = NewName(name, ".c2s.");
  const std::string replies = NewName(name, ".s2c.");
  absl::StatusOr<Fifos> pair = MakeUnder(directory, name, requests, replies);
  if (pair.ok()) return pair;
  const int error = errno;
  RemoveAll(directory, {requests, replies});
  errno = error;
  return pair;
}

absl::Status RemoveFifos(const Directory& directory, const std::string& name, const FileId& id) {
  const std::string requests = RequestsName(name);
  const std::string replies = RepliesName(name, id.inode);
  ::unlinkat(directory.fd(), replies.c_str(), 0);
  const std::optional<FileId> now = FileIdOf(directory, requests);
  if (now != id || ::unlinkat(directory.fd(), requests.c_str(), 0) == 0) return absl::OkStatus();
  return base::ErrnoStatus(
      absl::StrCat("the name of this server, ", directory.PathOf(requests), ", stays behind: remove it"));
}

absl::Status CheckFifosAreFree(const Directory& directory, const std::string& name) {
  const std::string path = directory.PathOf(RequestsName(name));
  struct stat status;
  const bool exists = ::fstatat(directory.fd(), RequestsName(name).c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && !(S_ISFIFO(status.st_mode) && status.st_uid == ::geteuid())) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists and is not this user's FIFO; remove it"));
  }
  const absl::StatusOr<bool> live = HasLiveServer(directory, name);
  if (!live.ok()) return live.status();
  if (*live) {
    return absl::AlreadyExistsError(
        absl::StrCat("a live server has the name (", path, "); stop it or choose another name"));
  }
  RemoveAll(directory, FifosIn(directory, absl::StrCat(name, kReplies)));
  RemoveAll(directory, {RequestsName(name), NewName(name, ".c2s."), NewName(name, ".s2c.")});
  return absl::OkStatus();
}

void SweepFifos(const Directory& directory) {
  if (FifosIn(directory, "").empty()) return;
  // Against servers that are just starting; who has it sweeps.
  const auto lock = DirectoryLock::Acquire(directory, ".lock", /*patience_ns=*/0);
  if (!lock.ok()) return;
  for (const std::string& fifo : FifosIn(directory, "")) {
    if (absl::EndsWith(fifo, kRequests)) {
      const std::string name = fifo.substr(0, fifo.size() - kRequests.size());
      const std::optional<FileId> id = FileIdOf(directory, fifo);
      if (const auto live = HasLiveServer(directory, name); !id || !live.ok() || *live) continue;
      RemoveFifos(directory, name, *id).IgnoreError();
    } else if (absl::StrContains(fifo, kReplies)) {
      // It had its writer before it had this name.
      if (const auto live = IsServed(directory, fifo); live.ok() && !*live) RemoveAll(directory, {fifo});
    }
  }
}

absl::StatusOr<std::optional<Fifos>> OpenFifos(const Directory& directory, const std::string& name) {
  const std::string path = directory.PathOf(RequestsName(name));
  Fifos pair{.outgoing = OpenAt(directory, RequestsName(name), O_RDWR)};
  if (!pair.outgoing.valid()) {
    if (errno == ENOENT) return absl::UnavailableError(absl::StrCat(path, " (does not exist)"));
    return base::ErrnoStatus(absl::StrCat("open ", path));
  }
  struct stat status;
  if (absl::Status own = CheckIsOwn(pair.outgoing, path, status); !own.ok()) return own;
  pair.id = IdOf(status);
  // SUBTLE: whoever has this lock is alone with the server of this pair, from here until its end: the lock belongs to
  // the open file, and the pair loses its names when its client has said hello.
  if (::flock(pair.outgoing.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  const std::string replies = RepliesName(name, status.st_ino);
  pair.incoming = OpenAt(directory, replies, O_RDONLY);
  const int error = errno;
  if (FileIdOf(directory, RequestsName(name)) != pair.id) return std::nullopt;
  if (!pair.incoming.valid() && error != ENOENT) {
    return base::ErrnoStatus(error, absl::StrCat("open ", directory.PathOf(replies)));
  }
  absl::StatusOr<Server> server = Server::kDead;
  if (pair.incoming.valid()) server = LookForServer(pair.incoming);
  if (!server.ok()) return server.status();
  if (*server == Server::kDead) {
    return absl::UnavailableError(absl::StrCat(path, " (nobody listens: left by a server that died)"));
  }
  // Of a client that has died in its handshake: the next pair comes in a moment.
  if (*server == Server::kHasAnswered) return std::nullopt;
  if (absl::Status own = CheckIsOwn(pair.incoming, directory.PathOf(replies), status); !own.ok()) return own;
  return pair;
}

}  // namespace nearcall::transport::fifo
