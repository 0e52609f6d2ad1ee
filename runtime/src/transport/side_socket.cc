// SPDX-License-Identifier: Apache-2.0
#include "transport/side_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/monitor_use.h"
#include "transport/rendezvous/passed_fds.h"
#include "transport/rendezvous/peer_socket.h"
#include "transport/rendezvous/socket_kind.h"

namespace nearcall::transport {

namespace {

using Taken = base::DescriptorBudget::Taken;

static_assert(std::endian::native == std::endian::little, "the layout below is little-endian");

struct Layout {
  uint8_t lane;
  uint8_t count;
  uint8_t lost;
  uint8_t reserved[5];
  uint64_t sequence;
  uint64_t call_id;
};
static_assert(sizeof(Layout) == 24 && offsetof(Layout, sequence) == 8 && offsetof(Layout, call_id) == 16);

// One more than may come, so that one that is too much is seen.
constexpr size_t kRoom = base::kMaxMessageDescriptors + 1;

struct Control {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kRoom * sizeof(int))> bytes{};
};

constexpr char kLost[] =
    "the descriptors of the message were lost: the kernel did not pass them, because its sender's user has too many "
    "under way that nobody has taken yet (RLIMIT_NOFILE), or closed one before it was sent";
constexpr char kNoneLeft[] =
    "the receiver has no descriptors left for those that came with the message (RLIMIT_NOFILE, ulimit -n)";

absl::Status Violation(absl::string_view what) {
  return absl::InternalError(absl::StrCat("side socket: ", what));
}

ssize_t SendMessage(const base::Fd& socket, Layout& layout, std::span<const int> descriptors) {
  Control control;
  iovec data{.iov_base = &layout, .iov_len = sizeof(layout)};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  return base::Retry([&] { return ::sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

// A message that has been looked at: its descriptors are others of the same files.
struct Looked {
  ssize_t size = 0;
  Layout layout{};
  bool cut = false;   // there are more
  bool lost = false;  // this process had no room for some
  size_t count = 0;
  std::array<base::Fd, kRoom> fds;

  std::span<base::Fd> taken() { return std::span(fds).first(count); }
};

// SUBTLE: to look (MSG_PEEK) gives descriptors of their own, while the message keeps its references. So those that
// there is no room for are not closed here, which could take as long as the peer likes; and when the message is taken
// the references that it drops are not the last ones.
void Look(const base::Fd& socket, Looked& looked) {
  Control control;
  iovec data{.iov_base = &looked.layout, .iov_len = sizeof(looked.layout)};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = CMSG_LEN(kRoom * sizeof(int));  // with its padding there would be room for another one
  const int flags = MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC;
  const auto look = [&] { return ::recvmsg(socket.get(), &message, flags); };
  looked.size = base::Retry(look);
  // The peer has closed with letters of ours unread: said once, and what it had sent is there.
  if (looked.size < 0 && errno == ECONNRESET) looked.size = base::Retry(look);
  if (looked.size < 0) return;
  looked.cut = (message.msg_flags & MSG_CTRUNC) != 0;
  TakePassedFds(message, [&looked](base::Fd fd) {
    NEARCALL_CHECK(looked.count < looked.fds.size());
    if (!fd.valid()) looked.lost = true;
    looked.fds[looked.count++] = std::move(fd);
  });
}

absl::Status CheckLetter(const Looked& looked) {
  const Layout& layout = looked.layout;
  if (looked.size <= 0) return Violation("a message is to bring descriptors, and they were not sent before it");
  if (looked.size != sizeof(Layout)) return Violation(absl::StrCat("a letter has ", looked.size, " bytes, not 24"));
  const bool other =
      std::any_of(std::begin(layout.reserved), std::end(layout.reserved), [](uint8_t b) { return b != 0; });
  if (layout.lane >= base::kLanes || layout.lost > 1 || other) {
    return Violation("a letter has a lane above 3, or a byte that is not 0");
  }
  if (layout.count == 0 || layout.count > base::kMaxMessageDescriptors) {
    return Violation(absl::StrCat("a letter announces ", layout.count, " descriptors, expected 1 to ",
                                  base::kMaxMessageDescriptors));
  }
  const size_t announced = layout.lost != 0 ? 0 : layout.count;
  const bool too_few = looked.count < announced && !looked.cut;
  if (looked.count > announced || too_few || (looked.cut && looked.count == announced)) {
    return Violation(absl::StrCat("a letter announces ", announced, " descriptors and brings ", looked.count,
                                  looked.cut ? " or more" : ""));
  }
  return absl::OkStatus();
}

// Not OK: they are too many, and not taken.
absl::Status Charge(base::DescriptorBudget& budget, size_t count, Taken& taken) {
  if (count == 0) return absl::OkStatus();
  taken = budget.TakeReceived(count);
  if (taken != Taken::kBroken) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the peer sends descriptors beyond what its user may have here, while ", budget.held(),
                   " of this connection are neither taken nor closed"));
}

Letter LetterOf(const Layout& layout) {
  return {.lane = layout.lane,
          .count = layout.count,
          .lost = layout.lost != 0,
          .sequence = layout.sequence,
          .call_id = layout.call_id};
}

// The letter that was looked at.
void Drop(const base::Fd& socket) {
  Layout layout;
  const auto take = [&] { return ::recv(socket.get(), &layout, sizeof(layout), MSG_DONTWAIT); };
  if (base::Retry(take) < 0 && errno == ECONNRESET) static_cast<void>(base::Retry(take));
}

}  // namespace

// The part that the monitor calls.
class SideSocket::Watcher {
 public:
  static absl::StatusOr<std::unique_ptr<Watcher>> Start(int socket, std::function<void()> on_room,
                                                        base::Reactor* reactor) {
    auto monitor = MonitorUse::Acquire(reactor);
    if (!monitor.ok()) return monitor.status();
    auto watcher = std::make_unique<Watcher>(*std::move(monitor), socket, std::move(on_room));
    const base::Reactor::Id id = watcher->id_;
    if (absl::Status watched = watcher->monitor_->Watch(id, kSlot, socket, kNothing); !watched.ok()) {
      watcher->monitor_->Remove(id);
      return watched;
    }
    return watcher;
  }
  Watcher(MonitorUse monitor, int socket, std::function<void()> on_room)
      : monitor_(std::move(monitor)),
        socket_(socket),
        id_(monitor_->Add(std::make_shared<Target>(std::move(on_room)))) {}

  bool InChild() const { return monitor_.InChild(); }
  // Tells once; at once, if there is room by now.
  void TellRoom() { monitor_->ChangeEvents(id_, kSlot, socket_, EPOLLOUT | EPOLLONESHOT); }
  void End() {
    monitor_->Unwatch(socket_);
    monitor_->Remove(id_);
  }

 private:
  class Target final : public base::Reactor::Target {
   public:
    explicit Target(std::function<void()> on_room) : on_room_(std::move(on_room)) {}
    void OnReady(uint32_t /*slot*/, uint32_t events) override {
      if ((events & EPOLLOUT) != 0) on_room_();
    }

   private:
    const std::function<void()> on_room_;
  };

  static constexpr uint32_t kSlot = 0;
  // A hang-up is told in any case: once.
  static constexpr uint32_t kNothing = EPOLLONESHOT;

  const MonitorUse monitor_;
  const int socket_;
  const base::Reactor::Id id_;
};

absl::StatusOr<std::pair<base::Fd, base::Fd>> SideSocket::MakePair(bool takes) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return base::ErrnoStatus("cannot create the side socket");
  }
  std::pair<base::Fd, base::Fd> ends{base::Fd(fds[0]), base::Fd(fds[1])};
  if (!ends.first.valid() || !ends.second.valid()) return base::ErrnoStatus("cannot create the side socket");
  if (!takes) RefuseDescriptors(ends.first);
  for (const base::Fd* end : {&ends.first, &ends.second}) {
    // How far a side is ahead of what its peer takes. Without it that is as much as the kernel allows.
    const int size = base::kSideSocketBuffer;
    static_cast<void>(::setsockopt(end->get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
  }
  return ends;
}

absl::Status SideSocket::Check(const base::Fd& fd) {
  if (IsSeqpacketSocket(fd.get())) return absl::OkStatus();
  return Violation("the server passed a descriptor that is no such socket");
}

SideSocket::SideSocket(base::Fd socket, bool trusts_peer) : socket_(std::move(socket)), trusts_peer_(trusts_peer) {}

SideSocket::~SideSocket() {
  EndWatch();
  // In a forked child it is the parent's.
  if (!fork_guard_.InChild()) CloseSocket(std::move(socket_));
}

absl::Status SideSocket::Watch(std::function<void()> on_room, base::Reactor* reactor) {
  auto watcher = Watcher::Start(socket_.get(), std::move(on_room), reactor);
  if (!watcher.ok()) return watcher.status();
  watcher_ = *std::move(watcher);
  return absl::OkStatus();
}

void SideSocket::EndWatch() {
  const std::unique_ptr<Watcher> watcher = std::move(watcher_);
  if (watcher != nullptr && !watcher->InChild()) watcher->End();
}

bool SideSocket::Send(Letter letter, std::span<const int> descriptors) {
  Layout layout{.lane = letter.lane,
                .count = letter.count,
                .lost = letter.lost || descriptors.size() != letter.count,
                .reserved = {},
                .sequence = letter.sequence,
                .call_id = letter.call_id};
  const auto no_room = [] { return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM; };
  ssize_t sent = -1;
  if (layout.lost == 0) {
    sent = SendMessage(socket_, layout, descriptors);
    // Whoever has gone takes everything.
    layout.lost = sent < 0 && !no_room() && errno != EPIPE && errno != ECONNRESET;
  }
  if (layout.lost != 0) sent = SendMessage(socket_, layout, {});
  if (sent >= 0 || !no_room()) return true;
  if (watcher_ != nullptr) watcher_->TellRoom();
  return false;
}

absl::Status SideSocket::Receive(const std::shared_ptr<base::DescriptorBudget>& budget, Letter& letter,
                                 base::Descriptors& received) {
  Looked looked;
  Look(socket_, looked);
  absl::Status checked = CheckLetter(looked);
  const bool no_room = looked.lost || looked.cut;  // of a letter that is right
  if (checked.ok() && no_room && !trusts_peer_) checked = absl::ResourceExhaustedError(kNoneLeft);
  Taken taken = Taken::kYes;
  if (checked.ok() && !no_room) checked = Charge(*budget, looked.count, taken);
  if (!checked.ok()) {
    Discard(looked.taken());
    return checked;
  }
  Drop(socket_);
  letter = LetterOf(looked.layout);
  if (no_room) {
    Discard(looked.taken());
    received = base::Descriptors::Refused(kNoneLeft);
  } else if (letter.lost) {
    received = base::Descriptors::Refused(kLost);
  } else {
    received = base::Descriptors::Own(looked.taken(), budget, taken == Taken::kOver);
    // They are closed, and paid for until then.
    if (taken == Taken::kOver) received = base::Descriptors::Refused(base::kOverDescriptorBudget);
  }
  return absl::OkStatus();
}

}  // namespace nearcall::transport
