// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/connect_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/rendezvous/directory.h"
#include "transport/rendezvous/look_for_name.h"
#include "transport/rendezvous/socket_kind.h"

namespace nearcall::transport {

namespace {

// What connect(2) said of one place, in words that help.
std::string Explain(int error, const std::string& path) {
  switch (error) {
    case ENOENT:
      return absl::StrCat(path, " (does not exist)");
    case ECONNREFUSED:
      return absl::StrCat(path, " (nobody listens: left by a server that died)");
    case EPROTOTYPE:
      return absl::StrCat(path, " (not a Nearcall server's socket)");
    case ENOSYS:
      return absl::StrCat(path, " (", kNoWayWithoutProc, ")");
    default:
      return absl::StrCat(path, " (", std::generic_category().message(error), ")");
  }
}

absl::StatusOr<base::Fd> CreateSocket() {
  base::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return base::ErrnoStatus("create a socket");
  return fd;
}

bool StopBlocking(const base::Fd& fd) {
  return ::fcntl(fd.get(), F_SETFL, O_RDWR | O_NONBLOCK) == 0;
}

// connect(2) waits for a place in the backlog, at least once round, at most so long.
void WaitAtMost(const base::Fd& fd, int64_t left_ns) {
  const int64_t left_us = std::clamp<int64_t>(left_ns / 1'000, 1, base::kIdleWaitSliceNs / 1'000);  // 0: for ever
  const timeval timeout{.tv_sec = left_us / 1'000'000, .tv_usec = left_us % 1'000'000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

// 0, or the errno; EAGAIN: the backlog was full until `deadline`. While it is, the kernel keeps those who wait in a
// line (tests/os). Who only looks again and again takes the CPU from the server, and is overtaken by all who wait.
int ConnectUntil(const base::Fd& fd, absl::FunctionRef<int()> connect, base::SteadyNs deadline) {
  if (deadline == kDoNotWait) return StopBlocking(fd) ? connect() : errno;
  for (;;) {
    WaitAtMost(fd, deadline - base::NowNs());
    const int error = connect();
    if (error == 0) break;
    if (error != EAGAIN || base::NowNs() >= deadline) return error;
  }
  // From now on nothing on it blocks.
  return StopBlocking(fd) ? 0 : errno;
}

int ConnectToPath(const base::Fd& fd, const std::string& path) {
  const sockaddr_un address = SocketAddress(path);
  const int result =
      base::Retry([&] { return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)); });
  return result == 0 ? 0 : errno;
}

absl::Status BacklogFull(const std::string& path) {
  return absl::DeadlineExceededError(
      absl::StrCat("the server at ", path, " does not accept connections, and its backlog is full; is it stopped?"));
}

absl::StatusOr<base::Fd> ConnectPath(const std::string& path, base::SteadyNs deadline) {
  auto fd = CreateSocket();
  if (!fd.ok()) return fd.status();
  const int error = ConnectUntil(
      *fd, [&] { return ConnectToPath(*fd, path); }, deadline);
  if (error == 0) return fd;
  if (error == EAGAIN) return BacklogFull(path);
  if (error == ENOENT || error == ECONNREFUSED || error == EPROTOTYPE) {
    return absl::UnavailableError(absl::StrCat("no server listens: ", Explain(error, path), "; start it"));
  }
  return base::ErrnoStatus(error, absl::StrCat("connect to ", path));
}

absl::StatusOr<base::Fd> ConnectName(const std::string& name, base::SteadyNs deadline) {
  return LookForName<base::Fd>([&](const Directory& directory, bool alone) -> absl::StatusOr<base::Fd> {
    auto fd = CreateSocket();
    if (!fd.ok()) return fd.status();
    const int error = ConnectUntil(
        *fd, [&] { return directory.Connect(*fd, name); }, deadline);
    const std::string path = directory.PathOf(name);
    if (error == 0) return fd;
    if (error == EAGAIN) return BacklogFull(path);
    if (error == ENOSYS) return absl::FailedPreconditionError(Explain(error, path));
    // With one place to look at, its answer is the answer.
    if (error == EACCES && alone) return base::ErrnoStatus(error, absl::StrCat("connect to ", path));
    return absl::UnavailableError(Explain(error, path));
  });
}

// One of the servers behind a shared name.
absl::StatusOr<base::Fd> ConnectOne(const Address& address, base::SteadyNs deadline) {
  const auto directory = address.kind == Address::Kind::kPath
                             ? Directory::OpenAny(address.directory)
                             : Directory::OpenPrivate(address.directory, Directory::IfMissing::kFail);
  if (absl::IsNotFound(directory.status())) return absl::UnavailableError(directory.status().message());
  if (!directory.ok()) return directory.status();
  auto fd = CreateSocket();
  if (!fd.ok()) return fd.status();
  const std::string path = directory->PathOf(address.name);
  const int error = ConnectUntil(
      *fd, [&] { return directory->Connect(*fd, address.name); }, deadline);
  if (error == 0) return fd;
  if (error == EAGAIN) return BacklogFull(path);
  if (error == ENOENT || error == ECONNREFUSED || error == EPROTOTYPE) {
    return absl::UnavailableError(absl::StrCat("no server listens: ", Explain(error, path)));
  }
  return base::ErrnoStatus(error, absl::StrCat("connect to ", path));
}

absl::StatusOr<base::Fd> TakeInherited(int fd) {
  if (!IsSeqpacketSocket(fd) || !IsConnected(fd)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "descriptor ", fd,
        " is not open, or not a connected Unix-domain SOCK_SEQPACKET socket; pass an end of a socketpair"));
  }
  // Under a number of its own, so that a second use of "fd:3" finds nothing there instead of our connection.
  const base::Fd inherited(fd);
  base::Fd taken = base::Duplicate(fd);
  if (!taken.valid()) return base::ErrnoStatus(absl::StrCat("take over descriptor ", fd));
  return taken;
}

}  // namespace

absl::StatusOr<base::Fd> ConnectSocket(const Address& address, base::SteadyNs deadline) {
  if (!address.directory.empty()) return ConnectOne(address, deadline);
  switch (address.kind) {
    case Address::Kind::kName:
      return ConnectName(address.name, deadline);
    case Address::Kind::kPath:
      return ConnectPath(address.name, deadline);
    case Address::Kind::kFd:
      return TakeInherited(address.fd);
    case Address::Kind::kActivated:
    case Address::Kind::kExec:
    case Address::Kind::kInherited:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat(address.text, ": there is no socket to connect to"));
}

}  // namespace nearcall::transport
