// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/name_watch.h"
#include "transport/rendezvous/named_socket.h"
#include "transport/rendezvous/peer_socket.h"
#include "transport/rendezvous/place.h"
#include "transport/rendezvous/socket_kind.h"

namespace nearcall::transport {

namespace {

absl::StatusOr<std::unique_ptr<Listener>> BindWithin(int64_t patience_ns, const Address& address,
                                                     const SocketAccess& access);

class BoundListener final : public Listener {
 public:
  BoundListener(const Address& address, const SocketAccess& access, NamedSocket socket, Place place)
      : address_(address),
        access_(access),
        socket_(std::move(socket)),
        place_(std::move(place)),
        hold_(HoldAgainstCleaners(place_.directory)) {}
  ~BoundListener() override {
    Unlink().IgnoreError();
    if (!fork_guard_.InChild()) CloseListener(std::move(socket_.fd));
  }

  int fd() const override { return socket_.fd.get(); }
  int name_fd() const override { return socket_.watch.get(); }
  std::string name() const override { return place_.directory.PathOf(place_.name); }

  absl::Status Unlink() override {
    // While our socket listens nobody takes the name over, so it cannot change hands between the look and the unlink.
    if (given_up_.exchange(true) || fork_guard_.InChild()) return absl::OkStatus();
    const std::optional<FileId> now = FileIdOf(place_.directory, place_.name);
    const bool is_gone = !now && errno == ENOENT;
    if (is_gone || (now && now != socket_.id)) return absl::OkStatus();
    if (now && ::unlinkat(place_.directory.fd(), place_.name.c_str(), 0) == 0) return absl::OkStatus();
    return base::ErrnoStatus(absl::StrCat("the name of this server, ", name(), ", stays behind: remove it"));
  }

  std::optional<NameNews> LookAfterName() override {
    DrainWatch(socket_.watch);
    if (given_up_ || fork_guard_.InChild()) return std::nullopt;
    const std::optional<FileId> now = FileIdOf(place_.directory, place_.name);
    if (now == socket_.id) return std::nullopt;
    return now ? Taken() : BindAgain();
  }

 private:
  std::optional<NameNews> Taken() {
    if (given_up_.exchange(true)) return std::nullopt;
    return NameNews{
        .text = absl::StrCat("the name of this server, ", name(),
                             ", is somebody else's now, and is left alone: no new client finds this server"),
        .successor = nullptr};
  }

  std::optional<NameNews> BindAgain() {
    const base::SteadyNs now = base::NowNs();
    if (!try_until_) try_until_ = base::AddNs(now, base::kBindLockTimeoutNs);
    auto successor = BindWithin(0, address_, access_);
    if (absl::IsUnavailable(successor.status()) && now < *try_until_) return NameNews{};
    if (given_up_.exchange(true)) return std::nullopt;
    const std::string what = absl::StrCat("the name of this server, ", name(),
                                          ", was removed by somebody else (a cleaner of temporary files?)");
    if (successor.ok()) {
      return NameNews{.text = absl::StrCat(what, "; it is bound again"), .successor = *std::move(successor)};
    }
    return NameNews{.text = absl::StrCat(what, " and cannot be bound again, so no new client finds this server: ",
                                         successor.status().message()),
                    .successor = nullptr};
  }

  const Address address_;
  const SocketAccess access_;
  NamedSocket socket_;
  const Place place_;
  const base::Fd hold_;
  const base::ForkGuard fork_guard_;
  std::atomic<bool> given_up_{false};
  std::optional<base::SteadyNs> try_until_;  // to bind the name again, since it was lost
};

class AdoptedListener final : public Listener {
 public:
  explicit AdoptedListener(base::Fd fd) : fd_(std::move(fd)) {}

  int fd() const override { return fd_.get(); }
  int name_fd() const override { return -1; }
  std::string name() const override { return absl::StrCat("fd:", fd_.get()); }
  absl::Status Unlink() override { return absl::OkStatus(); }
  std::optional<NameNews> LookAfterName() override { return std::nullopt; }

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

// Waits so long at most for other servers that are starting, then UNAVAILABLE.
absl::StatusOr<std::unique_ptr<Listener>> BindWithin(int64_t patience_ns, const Address& address,
                                                     const SocketAccess& access) {
  auto place = PlaceOf(address, access);
  if (!place.ok()) return WithAddress(address, place.status());
  auto socket = ListenAt(*place, patience_ns);
  if (!socket.ok()) return WithAddress(address, socket.status());
  return std::make_unique<BoundListener>(address, access, *std::move(socket), *std::move(place));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const Address& address, const SocketAccess& access) {
  if (address.kind == Address::Kind::kFd) {
    if (!IsListener(address.fd)) return NoListener(address.fd);  // somebody else's: not ours to close
    return Adopt(base::Fd(address.fd));
  }
  return BindWithin(base::kBindLockTimeoutNs, address, access);
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Adopt(base::Fd fd) {
  if (!IsListener(fd.get())) return NoListener(fd.get());
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return base::ErrnoStatus(absl::StrCat("fcntl on fd:", fd.get()));
  }
  if (absl::Status prepared = PrepareToIdentify(fd, /*accept_fds=*/false); !prepared.ok()) return prepared;
  // Again: clients are told that they talk to whoever has called listen(2) last (SO_PEERCRED, SO_PEERPIDFD of
  // unix(7)), and that may be a process that has passed the socket on and ended. What waits in the backlog stays.
  if (::listen(fd.get(), base::kListenBacklog) != 0) {
    return base::ErrnoStatus(absl::StrCat("listen on fd:", fd.get()));
  }
  return std::make_unique<AdoptedListener>(std::move(fd));
}

}  // namespace nearcall::transport
