#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fork.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/directory.h"
#include "transport/rendezvous/directory_lock.h"
#include "transport/rendezvous/socket_kind.h"
#include "transport/rendezvous/socket_name.h"

namespace nearcall::transport {

namespace {

// Where a name is put, and how.
struct Place {
  Directory directory;
  std::string name;
  std::string lock_name;
  mode_t mode;
  bool is_own;  // a directory of Nearcall's own, in which dead names may be swept
};

// Which file a name was when it was made.
struct FileId {
  dev_t device;
  ino_t inode;
};

std::optional<FileId> FileIdOf(const Directory& directory, const std::string& name) {
  struct stat status;
  if (::fstatat(directory.fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return FileId{.device = status.st_dev, .inode = status.st_ino};
}

class BoundListener final : public Listener {
 public:
  BoundListener(base::Fd fd, Place place, FileId id) : fd_(std::move(fd)), place_(std::move(place)), id_(id) {}
  ~BoundListener() override { Unlink(); }

  int fd() const override { return fd_.get(); }
  std::string name() const override { return place_.directory.PathOf(place_.name); }

  void Unlink() override {
    // While our socket listens nobody takes the name over, so it cannot change hands between the look and the unlink.
    if (std::exchange(unlinked_, true) || fork_guard_.InChild()) return;
    const std::optional<FileId> now = FileIdOf(place_.directory, place_.name);
    if (!now || now->device != id_.device || now->inode != id_.inode) return;
    ::unlinkat(place_.directory.fd(), place_.name.c_str(), 0);
  }

 private:
  const base::Fd fd_;
  const Place place_;
  const FileId id_;
  const base::ForkGuard fork_guard_;
  bool unlinked_ = false;
};

class AdoptedListener final : public Listener {
 public:
  explicit AdoptedListener(base::Fd fd) : fd_(std::move(fd)) {}

  int fd() const override { return fd_.get(); }
  std::string name() const override { return absl::StrCat("fd:", fd_.get()); }
  void Unlink() override {}

 private:
  const base::Fd fd_;
};

bool IsListener(int fd) {
  return IsSeqpacketSocket(fd) && IsListening(fd);
}

absl::Status NoListener(int fd) {
  return absl::InvalidArgumentError(absl::StrCat("fd:", fd, ": not a listening Unix-domain SOCK_SEQPACKET socket"));
}

absl::Status WithAddress(const Address& address, const absl::Status& status) {
  // A missing directory is something to be set up, not an answer about the name.
  const auto code = absl::IsNotFound(status) ? absl::StatusCode::kFailedPrecondition : status.code();
  return absl::Status(code, absl::StrCat(address.text, ": cannot listen: ", status.message()));
}

absl::StatusOr<Place> PlaceOfName(const Address& address) {
  auto directory = OpenServerDirectory();
  if (!directory.ok()) return directory.status();
  // Other users have nothing to do in this directory; other uids and containers meet at a path.
  return Place{*std::move(directory), address.name, ".lock", 0600, true};
}

absl::StatusOr<Place> PlaceOfPath(const Address& address) {
  const size_t slash = address.name.rfind('/');
  auto directory = Directory::OpenAny(slash == 0 ? "/" : address.name.substr(0, slash));
  if (!directory.ok()) return directory.status();
  std::string name = address.name.substr(slash + 1);
  std::string lock_name = absl::StrCat(".", name, ".lock");
  // Anybody may connect; the kernel's credentials decide.
  return Place{*std::move(directory), std::move(name), std::move(lock_name), 0666, false};
}

absl::Status CheckFree(const Place& place) {
  const std::string path = place.directory.PathOf(place.name);
  const auto state = ProbeName(place.directory, place.name);
  if (!state.ok()) return state.status();
  switch (*state) {
    case NameState::kAbsent:
      return absl::OkStatus();
    case NameState::kDead:
      if (::unlinkat(place.directory.fd(), place.name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
      return base::ErrnoStatus(absl::StrCat("remove the dead socket ", path));
    case NameState::kLive:
      return absl::AlreadyExistsError(
          absl::StrCat("a live server has the name (", path, "); stop it or choose another name"));
    case NameState::kForeign:
      break;
  }
  return absl::AlreadyExistsError(absl::StrCat(path, " exists and is not a server's socket; remove it"));
}

// A socket that listens under the name `temporary`. It has its mode before it listens, so before anybody can connect.
absl::StatusOr<base::Fd> ListenAs(const Place& place, const std::string& temporary) {
  const std::string path = place.directory.PathOf(temporary);
  base::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return base::ErrnoStatus("create a socket");
  // What is accepted inherits it: a client may speak before anybody could say so for its own socket.
  if (absl::Status prepared = PrepareToIdentify(fd, /*accept_fds=*/false); !prepared.ok()) return prepared;
  const sockaddr_un address = place.directory.AddressOf(temporary);
  ::unlinkat(place.directory.fd(), temporary.c_str(), 0);  // left by a process that was killed just here
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return base::ErrnoStatus(absl::StrCat("bind ", path, " (through /proc, which must be mounted)"));
  }
  if (::fchmodat(place.directory.fd(), temporary.c_str(), place.mode, 0) != 0) {
    return base::ErrnoStatus(absl::StrCat("chmod ", path));
  }
  if (::listen(fd.get(), base::kListenBacklog) != 0) return base::ErrnoStatus(absl::StrCat("listen on ", path));
  return fd;
}

struct NamedSocket {
  base::Fd fd;
  FileId id;
};

absl::StatusOr<NamedSocket> ListenUnderLock(const Place& place) {
  const auto lock = DirectoryLock::Acquire(place.directory, place.lock_name);
  if (!lock.ok()) return lock.status();
  if (absl::Status free = CheckFree(place); !free.ok()) return free;
  if (place.is_own) SweepDeadNames(place.directory);

  // Listens before it has its name, so that nobody who finds the name can take it for a dead one.
  const std::string temporary = absl::StrCat(".", place.name, ".new");
  absl::StatusOr<base::Fd> fd = ListenAs(place, temporary);
  const std::optional<FileId> id = FileIdOf(place.directory, temporary);
  const int directory = place.directory.fd();
  if (fd.ok() && id && ::renameat(directory, temporary.c_str(), directory, place.name.c_str()) == 0) {
    return NamedSocket{*std::move(fd), *id};
  }
  const int error = errno;
  ::unlinkat(directory, temporary.c_str(), 0);
  if (!fd.ok()) return fd.status();
  return base::ErrnoStatus(error, absl::StrCat("rename a socket to ", place.directory.PathOf(place.name)));
}

absl::StatusOr<std::unique_ptr<Listener>> BindAt(Place place) {
  auto socket = ListenUnderLock(place);
  if (!socket.ok()) return socket.status();
  return std::make_unique<BoundListener>(std::move(socket->fd), std::move(place), socket->id);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const Address& address) {
  if (address.kind == Address::Kind::kFd) {
    if (!IsListener(address.fd)) return NoListener(address.fd);  // somebody else's: not ours to close
    return Adopt(base::Fd(address.fd));
  }
  auto place = address.kind == Address::Kind::kName ? PlaceOfName(address) : PlaceOfPath(address);
  if (!place.ok()) return WithAddress(address, place.status());
  auto listener = BindAt(*std::move(place));
  if (!listener.ok()) return WithAddress(address, listener.status());
  return listener;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Adopt(base::Fd fd) {
  if (!IsListener(fd.get())) return NoListener(fd.get());
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return base::ErrnoStatus(absl::StrCat("fcntl on fd:", fd.get()));
  }
  if (absl::Status prepared = PrepareToIdentify(fd, /*accept_fds=*/false); !prepared.ok()) return prepared;
  return std::make_unique<AdoptedListener>(std::move(fd));
}

}  // namespace nearcall::transport
