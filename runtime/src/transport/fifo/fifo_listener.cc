// SPDX-License-Identifier: Apache-2.0
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fork.h"
#include "base/mutex.h"
#include "base/no_memory.h"
#include "base/syscall.h"
#include "transport/fifo/fifo_handshake.h"
#include "transport/fifo/fifo_rendezvous.h"
#include "transport/fifo/named_fifos.h"
#include "transport/rendezvous/directory_lock.h"
#include "transport/rendezvous/name_watch.h"
#include "transport/rendezvous/place.h"

namespace nearcall::transport::fifo {

namespace {

// The pair of FIFOs that the next client finds. When that has said hello the pair is its own, and there is a new one.
class FifoListener final : public Listener {
 public:
  FifoListener(Place place, base::Fd epoll)
      : place_(std::move(place)), epoll_(std::move(epoll)), hold_(HoldAgainstCleaners(place_.directory)) {}
  ~FifoListener() override { Unlink().IgnoreError(); }

  absl::Status Open() {
    const absl::StatusOr<DirectoryLock> others = DirectoryLock::Acquire(place_.directory, place_.lock_name);
    if (!others.ok()) return others.status();
    if (absl::Status free = CheckFifosAreFree(place_.directory, place_.name); !free.ok()) return free;
    base::MutexLock lock(mutex_);
    return MakeNext();
  }

  // Another epoll: what it watches changes.
  int fd() const override { return epoll_.get(); }
  std::string name() const override { return place_.directory.PathOf(RequestsName(place_.name)); }

  Newcomer Accept() override;

  absl::Status Unlink() override {
    if (fork_guard_.InChild()) return absl::OkStatus();
    base::MutexLock lock(mutex_);
    if (std::exchange(given_up_, true) || !next_) return absl::OkStatus();
    const FileId id = next_->id;
    absl::Status removed;
    base::UntilThereIsMemory([&] { removed = RemoveFifos(place_.directory, place_.name, id); });
    return removed;
  }

  int name_fd() const override { return -1; }
  std::optional<NameNews> LookAfterName() override { return std::nullopt; }

  absl::StatusOr<Geometry> Offer() override {
    return absl::FailedPreconditionError("FIFOs have no successor: what a client writes is one server's");
  }
  void WithdrawOffer() override {}
  void GiveAway() override {}

 private:
  absl::Status MakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SomebodyHasWritten() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool NameIsAnothers(const FileId& last) const;

  const Place place_;
  const base::Fd epoll_;
  const base::Fd hold_;
  const base::ForkGuard fork_guard_;

  base::Mutex mutex_;
  std::optional<Fifos> next_ ABSL_GUARDED_BY(mutex_);  // none: it could not be made yet
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::Status FifoListener::MakeNext() {
  absl::StatusOr<Fifos> made = MakeFifos(place_.directory, place_.name);
  if (!made.ok()) return made.status();
  next_ = *std::move(made);
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, next_->incoming.get(), &event) == 0) return absl::OkStatus();
  return base::ErrnoStatus("watch a FIFO: epoll_ctl");
}

// Who has only looked whether a server lives has not.
bool FifoListener::SomebodyHasWritten() const {
  int unread = 0;
  return ::ioctl(next_->incoming.get(), FIONREAD, &unread) == 0 && unread != 0;
}

// What is lost is made again, but what somebody else has put there is left alone.
bool FifoListener::NameIsAnothers(const FileId& last) const {
  const std::optional<FileId> now = FileIdOf(place_.directory, RequestsName(place_.name));
  return now && now != last;
}

Newcomer FifoListener::Accept() {
  base::MutexLock lock(mutex_);
  epoll_event ignored;
  // So that what comes from now on is an event.
  ::epoll_wait(epoll_.get(), &ignored, 1, 0);
  if (!next_ && !given_up_ && !MakeNext().ok()) return {};
  if (!next_ || !SomebodyHasWritten()) {
    errno = EAGAIN;
    return {};
  }
  Fifos pair = *std::move(next_);
  next_.reset();
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pair.incoming.get(), nullptr);
  if (!given_up_ && NameIsAnothers(pair.id)) given_up_ = true;
  const FileId id = pair.id;
  // If it cannot be made now it is when the next one is asked for.
  if (!given_up_) MakeNext().IgnoreError();
  ::unlinkat(place_.directory.fd(), RepliesName(place_.name, id.inode).c_str(), 0);
  return {
      .shake_hands = [pair = std::move(pair)](
                         ServeParams&& params) mutable { return StartHandshake(std::move(pair), std::move(params)); },
      .connected_by = ::geteuid()};
}

absl::Status At(const Address& address, const absl::Status& status) {
  const auto code = absl::IsNotFound(status) ? absl::StatusCode::kFailedPrecondition : status.code();
  return absl::Status(code, absl::StrCat(address.text, ": cannot listen: ", status.message()));
}

absl::Status CheckAccess(const SocketAccess& access) {
  if (!access.group && (access.mode.value_or(0600) & 0077) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a FIFO does not say who writes, so it is this user's alone; ServerOptions::socket_mode must be 0600, and there "
      "is "
      "no socket_group");
}

absl::StatusOr<std::unique_ptr<Listener>> Listen(const Address& address, const SocketAccess& access) {
  if (absl::Status mine = CheckAccess(access); !mine.ok()) return mine;
  absl::StatusOr<Place> place = PlaceOf(address, access);
  if (!place.ok()) return place.status();
  base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return base::ErrnoStatus("epoll_create1");
  auto listener = std::make_unique<FifoListener>(*std::move(place), std::move(epoll));
  if (absl::Status opened = listener->Open(); !opened.ok()) return opened;
  return listener;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> ListenAtFifo(const Address& address, const SocketAccess& access) {
  auto listener = Listen(address, access);
  return listener.ok() ? std::move(listener) : At(address, listener.status());
}

void SweepNames() {
  const absl::StatusOr<Directory> directory = OpenServerDirectory(Directory::IfMissing::kFail);
  if (directory.ok()) SweepFifos(*directory);
}

}  // namespace nearcall::transport::fifo
