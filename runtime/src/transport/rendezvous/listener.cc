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
#include "base/closer.h"
#include "base/fork.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/syscall.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/name_watch.h"
#include "transport/rendezvous/named_socket.h"
#include "transport/rendezvous/peer_socket.h"
#include "transport/rendezvous/place.h"
#include "transport/rendezvous/predecessor.h"
#include "transport/rendezvous/socket_kind.h"

namespace nearcall::transport {

namespace {

absl::StatusOr<std::unique_ptr<Listener>> BindWithin(int64_t patience_ns, const Address& address,
                                                     const SocketAccess& access);

class BoundListener final : public Listener {
 public:
  BoundListener(const Address& address, const SocketAccess& access, NamedSocket socket, Place place,
                std::unique_ptr<Predecessor> predecessor)
      : address_(address),
        access_({.mode = access.mode, .group = access.group}),
        socket_(std::move(socket)),
        place_(std::move(place)),
        hold_(HoldAgainstCleaners(place_.directory)),
        predecessor_(std::move(predecessor)),
        given_up_(predecessor_ != nullptr) {}
  ~BoundListener() override {
    Unlink().IgnoreError();
    if (fork_guard_.InChild()) return;
    // One that is another server's, too, goes on listening.
    if (is_shared_ || predecessor_ != nullptr) {
      base::CloseElsewhere(std::move(socket_.fd));
    } else {
      CloseListener(std::move(socket_.fd));
    }
  }

  int fd() const override { return socket_.fd.get(); }
  int name_fd() const override { return socket_.watch.get(); }
  std::string name() const override { return place_.directory.PathOf(place_.name); }

  absl::Status Unlink() override {
    if (fork_guard_.InChild()) return absl::OkStatus();
    base::MutexLock lock(mutex_);
    if (std::exchange(given_up_, true)) return absl::OkStatus();
    // A successor may be about to take it. Else see WithdrawOffer().
    unlink_later_ = is_offered_;
    return unlink_later_ ? absl::OkStatus() : UnlinkIfOurs();
  }

  std::optional<NameNews> LookAfterName() override {
    DrainWatch(socket_.watch);
    if (fork_guard_.InChild() || IsGivenUp()) return std::nullopt;
    const std::optional<FileId> now = FileIdOf(place_.directory, place_.name);
    if (now == socket_.id) return std::nullopt;
    return now ? Taken() : BindAgain();
  }

  absl::Status TakeOver() override {
    if (predecessor_ == nullptr) return absl::OkStatus();
    if (absl::Status taken = predecessor_->Succeed(socket_.fd, base::AddNs(base::NowNs(), base::kTakeOverNs));
        !taken.ok()) {
      return absl::Status(taken.code(), absl::StrCat(address_.text, ": cannot take over: ", taken.message()));
    }
    base::MutexLock lock(mutex_);
    given_up_ = false;
    predecessor_.reset();
    return absl::OkStatus();
  }

  absl::StatusOr<Geometry> Offer() override {
    base::MutexLock lock(mutex_);
    if (given_up_) return absl::UnavailableError("this server has the name no more, or not yet");
    if (std::exchange(is_offered_, true)) return absl::UnavailableError("another successor is just taking it over");
    return Geometry{socket_.id.device, socket_.id.inode, 0, 0};
  }

  void WithdrawOffer() override {
    base::MutexLock lock(mutex_);
    is_offered_ = false;
    // The successor may have called it, and clients would believe that nobody serves: it may be dead.
    ::listen(socket_.fd.get(), base::kListenBacklog);
    if (std::exchange(unlink_later_, false)) UnlinkIfOurs().IgnoreError();
  }

  void GiveAway() override {
    base::MutexLock lock(mutex_);
    given_up_ = true;
    is_offered_ = false;
    unlink_later_ = false;
    is_shared_ = true;
  }

 private:
  bool IsGivenUp() {
    base::MutexLock lock(mutex_);
    return given_up_;
  }

  bool GiveUp() {
    base::MutexLock lock(mutex_);
    return !std::exchange(given_up_, true);
  }

  // While our socket listens nobody takes the name over, so it cannot change hands between the look and the unlink.
  absl::Status UnlinkIfOurs() const {
    const std::optional<FileId> now = FileIdOf(place_.directory, place_.name);
    const bool is_gone = !now && errno == ENOENT;
    if (is_gone || (now && now != socket_.id)) return absl::OkStatus();
    if (now && ::unlinkat(place_.directory.fd(), place_.name.c_str(), 0) == 0) return absl::OkStatus();
    return base::ErrnoStatus(absl::StrCat("the name of this server, ", name(), ", stays behind: remove it"));
  }

  std::optional<NameNews> Taken() {
    if (!GiveUp()) return std::nullopt;
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
    if (!GiveUp()) return std::nullopt;
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
  std::unique_ptr<Predecessor> predecessor_;  // while the name is still that server's
  std::optional<base::SteadyNs> try_until_;   // to bind the name again, since it was lost

  base::Mutex mutex_;
  bool given_up_ ABSL_GUARDED_BY(mutex_);              // the name; or it is not ours yet
  bool is_offered_ ABSL_GUARDED_BY(mutex_) = false;    // to a successor
  bool unlink_later_ ABSL_GUARDED_BY(mutex_) = false;  // unless he takes it
  std::atomic<bool> is_shared_{false};                 // he has taken it
};

class AdoptedListener final : public Listener {
 public:
  explicit AdoptedListener(base::Fd fd) : fd_(std::move(fd)) {}

  int fd() const override { return fd_.get(); }
  int name_fd() const override { return -1; }
  std::string name() const override { return absl::StrCat("fd:", fd_.get()); }
  absl::Status Unlink() override { return absl::OkStatus(); }
  std::optional<NameNews> LookAfterName() override { return std::nullopt; }
  absl::StatusOr<Geometry> Offer() override {
    return absl::FailedPreconditionError(
        "the socket was passed to this server: whoever did has it for a successor, too");
  }
  void WithdrawOffer() override {}
  void GiveAway() override {}

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

// The socket of the live server that has the name; nullptr: that has gone meanwhile.
absl::StatusOr<std::unique_ptr<Predecessor>> FindPredecessor(const Place& place, const absl::Status& taken,
                                                             base::SteadyNs deadline) {
  auto predecessor = Predecessor::Ask(place, deadline);
  if (predecessor.ok()) return predecessor;
  if (absl::IsUnavailable(predecessor.status()) && base::NowNs() < deadline) {
    base::SleepUntil(base::AddNs(base::NowNs(), base::kTakeOverPauseNs));
    return nullptr;
  }
  return absl::Status(taken.code(),
                      absl::StrCat(taken.message(), "; it cannot be taken over: ", predecessor.status().message()));
}

// Waits so long at most for other servers that are starting, then UNAVAILABLE.
absl::StatusOr<std::unique_ptr<Listener>> BindWithin(int64_t patience_ns, const Address& address,
                                                     const SocketAccess& access) {
  const base::SteadyNs deadline = base::AddNs(base::NowNs(), base::kTakeOverNs);
  for (;;) {
    auto place = PlaceOf(address, access);
    if (!place.ok()) return WithAddress(address, place.status());
    auto socket = ListenAt(*place, patience_ns);
    std::unique_ptr<Predecessor> predecessor;
    if (absl::IsAlreadyExists(socket.status()) && access.take_over) {
      auto found = FindPredecessor(*place, socket.status(), deadline);
      if (!found.ok()) return WithAddress(address, found.status());
      if (*found == nullptr) continue;
      predecessor = *std::move(found);
      socket = predecessor->TakeSocket();
    }
    if (!socket.ok()) return WithAddress(address, socket.status());
    return std::make_unique<BoundListener>(address, access, *std::move(socket), *std::move(place),
                                           std::move(predecessor));
  }
}

}  // namespace

Newcomer NewcomerAt(base::Fd socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  const bool known = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  return {.shake_hands =
              [socket = std::move(socket)](ServeParams&& params) mutable {
                return ServerHandshake::Start(std::move(socket), std::move(params));
              },
          .connected_by = known ? peer.uid : static_cast<uid_t>(-1)};
}

Newcomer Listener::Accept() {
  base::Fd socket(base::Retry([&] { return ::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
  return socket.valid() ? NewcomerAt(std::move(socket)) : Newcomer{};
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const Address& address, const SocketAccess& access) {
  const TransportRow* const row = FindTransport(address.transport);
  if (row != nullptr && !row->MeetsAtSocket()) return row->listen(address, access);
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
