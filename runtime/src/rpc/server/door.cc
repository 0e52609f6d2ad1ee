// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/door.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/syscall.h"

namespace nearcall::rpc {

namespace {

// What an event is about. Listening sockets follow; handshakes have their own numbers, from Handshakes::kFirstId.
constexpr uint64_t kWakeEvent = 0;
constexpr uint64_t kWatchedEvent = 1;
constexpr uint64_t kFirstListener = 2;

// Each of them has two: somebody connects, something has happened to its name.
constexpr uint64_t kEventsOfListener = 2;

constexpr int kEventsPerTurn = 64;

// Clients taken from one listening socket before those who are on their way, and other sockets, have their turn.
constexpr int kAcceptsPerTurn = 16;

// Until the next try of what nobody tells when it can succeed: to take clients, when there are no descriptors or is no
// memory; to bind a name again, while another server is just binding one.
constexpr absl::Duration kPause = absl::Milliseconds(10);

bool IsConnectedSeqpacket(int fd) {
  int type = 0;
  int domain = 0;
  socklen_t size = sizeof(int);
  sockaddr_storage peer;
  socklen_t peer_size = sizeof(peer);
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
         ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
         ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0;
}

base::Fd AcceptOn(int listener) {
  return base::Fd(base::Retry([&] { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
}

// The socket itself is of no use any more: a process that shares it has shut it down.
bool IsForGood(int error) {
  return error == EINVAL || error == EBADF || error == ENOTSOCK || error == EOPNOTSUPP;
}

// One client's want of memory is not the end of the others.
template <typename Step>
void Survive(Step&& step) {
  try {
    step();
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace

Door::~Door() {
  // In a forked child the names and the thread are the parent's; only the descriptors are closed.
  if (fork_guard_.InChild()) {
    static_cast<void>(new auto(std::move(thread_)));
    return;
  }
  Close();
  Stop();
}

void Door::WatchEvent(int fd, std::function<void()> on_event) {
  event_fd_ = fd;
  on_event_ = std::move(on_event);
}

absl::Status Door::Start(std::vector<Entry> entries) {
  if (absl::Status status = Open(std::move(entries)); !status.ok()) return status;
  if (core_.reactor() != nullptr) {
    return in_queue_.Begin(*core_.reactor(), epoll_.get(), [this](size_t) { return TakeTurnInQueue(); });
  }
  return thread_.Start("nearcall-door", base::kOwnStack, [this] { Run(); });
}

absl::Status Door::Open(std::vector<Entry> entries) {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return base::ErrnoStatus("cannot start a server (epoll_create1)");
  wake_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return base::ErrnoStatus("cannot start a server (eventfd)");
  reserve_ = base::Duplicate(wake_.get());
  if (!reserve_.valid()) return base::ErrnoStatus("cannot start a server (a descriptor in reserve)");
  absl::Status status = Watch(wake_.get(), EPOLLIN | EPOLLET, kWakeEvent);
  if (event_fd_ >= 0) status.Update(Watch(event_fd_, EPOLLIN | EPOLLET, kWatchedEvent));
  handshakes_.WatchIn(epoll_.get());
  base::MutexLock lock(mutex_);
  for (Entry& entry : entries) status.Update(AddListener(std::move(entry)));
  return status;
}

absl::Status Door::AddListener(Entry entry) {
  auto place = std::find_if(listening_.begin(), listening_.end(), [](const Listening& one) { return one.is_free(); });
  if (place == listening_.end()) place = listening_.emplace(place);
  const uint64_t first = kFirstListener + static_cast<uint64_t>(place - listening_.begin()) * kEventsOfListener;
  *place = {.listener = std::move(entry.listener), .transports = std::move(entry.transports)};
  absl::Status status = Watch(place->listener->fd(), EPOLLIN | EPOLLET, first);
  if (place->listener->name_fd() >= 0) status.Update(Watch(place->listener->name_fd(), EPOLLIN | EPOLLET, first + 1));
  return status;
}

absl::Status Door::Watch(int fd, uint32_t events, uint64_t data) {
  epoll_event event{.events = events, .data = {.u64 = data}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return base::ErrnoStatus("cannot watch a descriptor (epoll_ctl)");
}

// Explicitly: a forked child may hold a duplicate, and then closing ours would not end the watch (epoll(7)).
void Door::Unwatch(const transport::Listener& listener) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener.fd(), nullptr);
  if (listener.name_fd() >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener.name_fd(), nullptr);
}

void Door::Wake() {
  const uint64_t one = 1;
  // Full (EAGAIN) means that it is readable already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

absl::Status Door::Serve(base::Fd socket) {
  if (!IsConnectedSeqpacket(socket.get())) {
    return absl::InvalidArgumentError("Server::ServeFd: not a connected AF_UNIX socket of type SOCK_SEQPACKET");
  }
  {
    base::MutexLock lock(mutex_);
    if (closed_) return absl::UnavailableError("the server has shut down");
    mail_.push_back(std::move(socket));
  }
  Wake();
  return absl::OkStatus();
}

void Door::Close() {
  std::vector<Listening> listening;  // destroyed without the lock
  absl::Status unlinked;
  {
    base::MutexLock lock(mutex_);
    closed_ = true;
    listening.swap(listening_);
    for (const Listening& one : listening) {
      if (one.is_free()) continue;
      Unwatch(*one.listener);
      unlinked.Update(one.listener->Unlink());
    }
  }
  if (!unlinked.ok()) core_.logger->Log({}, LogSeverity::kError, unlinked.message());
  Wake();
}

void Door::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  Wake();
  if (thread_.joinable()) thread_.Join();
  if (core_.reactor() == nullptr) return;
  in_queue_.End();
  timer_.reset();
  handshakes_.DropAll();
}

void Door::Run() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    TakeTurn(std::clamp<int64_t>(NextTurnAt() - base::NowNs(), 0, base::kIdleWaitSliceNs));
  }
  handshakes_.DropAll();
}

// Sleeps until something happens, so long at most, and does what there is to do.
void Door::TakeTurn(int64_t timeout_ns) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int timeout_ms = static_cast<int>((timeout_ns + 999'999) / 1'000'000);
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, timeout_ms);
  for (int i = 0; i < count; ++i) Survive([&] { OnEvent(events[static_cast<size_t>(i)].data.u64); });
  Survive([&] { ReadMail(); });
  Survive([&] { LookAfterLostNames(); });
  Survive([&] { AcceptTurn(); });
  handshakes_.DropLate(base::NowNs());
}

// Without waiting. What comes with time is then told by an event, too.
size_t Door::TakeTurnInQueue() {
  TakeTurn(/*timeout_ns=*/0);
  const base::SteadyNs next_at = NextTurnAt();
  if (std::exchange(timer_at_, next_at) == next_at) return 0;
  timer_.reset();
  if (next_at != base::kNever) base::UntilThereIsMemory([&] { SetTimer(next_at); });
  return 0;
}

void Door::SetTimer(base::SteadyNs when) {
  auto timer = transport::StartTimer(
      when,
      [this] {
        timer_at_ = base::kNever;
        in_queue_.Schedule();
      },
      core_.reactor());
  if (timer.ok()) timer_ = *std::move(timer);  // else: see StartTimer()
}

// When something is to be done that no event tells.
base::SteadyNs Door::NextTurnAt() {
  base::SteadyNs until = handshakes_.NextDeadline();
  base::MutexLock lock(mutex_);
  const bool somebody_waits =
      std::any_of(listening_.begin(), listening_.end(), [](const Listening& one) { return one.somebody_waits; });
  if (somebody_waits) until = std::min(until, MayAcceptAt());
  const bool name_is_lost =
      std::any_of(listening_.begin(), listening_.end(), [](const Listening& one) { return one.name_is_lost; });
  if (name_is_lost) until = std::min(until, look_again_at_);
  return until;
}

void Door::OnEvent(uint64_t data) {
  if (data >= Handshakes::kFirstId) return handshakes_.Step(data);
  if (data == kWatchedEvent) return on_event_();
  if (data == kWakeEvent) {
    uint64_t ignored;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &ignored, sizeof(ignored));
    return;
  }
  const size_t index = (data - kFirstListener) / kEventsOfListener;
  if ((data - kFirstListener) % kEventsOfListener == 1) return LookAfterName(index);
  base::MutexLock lock(mutex_);
  if (index < listening_.size()) listening_[index].somebody_waits = true;
}

// Somebody has done something to it. Without the lock, for it looks at files.
void Door::LookAfterName(size_t index) {
  std::shared_ptr<transport::Listener> listener;
  {
    base::MutexLock lock(mutex_);
    if (index < listening_.size()) listener = listening_[index].listener;
  }
  if (listener == nullptr) return;
  auto news = listener->LookAfterName();
  {
    base::MutexLock lock(mutex_);
    if (index < listening_.size()) listening_[index].name_is_lost = news && news->is_unsettled();
  }
  if (!news) return;
  if (news->is_unsettled()) {
    look_again_at_ = base::AfterNow(kPause);
    return;
  }
  core_.logger->Log({base::LogKind::kConnection}, LogSeverity::kWarning, news->text);
  if (news->successor == nullptr) return;
  absl::Status status;
  {
    base::MutexLock lock(mutex_);
    if (closed_) return;  // the successor's end gives up the name
    // Whoever waits at the former socket is taken, then it goes.
    listening_[index].has_successor = true;
    listening_[index].somebody_waits = true;
    status = AddListener({.listener = std::move(news->successor), .transports = listening_[index].transports});
  }
  if (!status.ok()) core_.logger->Log({base::LogKind::kConnection}, LogSeverity::kError, status.message());
}

void Door::LookAfterLostNames() {
  if (base::NowNs() < look_again_at_) return;
  size_t sockets;
  {
    base::MutexLock lock(mutex_);
    sockets = listening_.size();
  }
  for (size_t index = 0; index < sockets; ++index) {
    bool is_lost;
    {
      base::MutexLock lock(mutex_);
      is_lost = index < listening_.size() && listening_[index].name_is_lost;
    }
    if (is_lost) LookAfterName(index);
  }
}

void Door::ReadMail() {
  std::vector<base::Fd> sockets;
  bool closed;
  {
    base::MutexLock lock(mutex_);
    sockets.swap(mail_);
    closed = closed_;
  }
  if (closed) {
    handshakes_.DropSilent();
    if (IsEmpty() && !std::exchange(emptied_, true)) core_.on_drained();
    return;
  }
  if (sockets.empty()) return;
  const auto all = std::make_shared<Handshakes::Transports>();
  for (const transport::TransportRow& row : transport::Transports()) all->push_back(&row);
  for (base::Fd& socket : sockets) Begin({.socket = std::move(socket), .transports = all}, absl::OkStatus());
}

void Door::AcceptTurn() {
  size_t sockets;
  {
    base::MutexLock lock(mutex_);
    sockets = listening_.size();
  }
  for (size_t index = 0; index < sockets; ++index) {
    for (int i = 0; i < kAcceptsPerTurn && AcceptOne(index); ++i) {
    }
  }
}

// False: nobody waits any more, or nobody can be let in now.
bool Door::AcceptOne(size_t index) {
  if (base::NowNs() < MayAcceptAt()) return false;
  Accepted accepted = Accept(index);
  if (accepted.socket.valid()) {
    in_trouble_ = false;
    Begin(std::move(accepted), absl::OkStatus());
    return true;
  }
  if (accepted.error == EMFILE || accepted.error == ENFILE) return AcceptWithoutDescriptors(index, accepted.error);
  if (accepted.error == ECONNABORTED) return true;
  CannotAccept(index, accepted.error);
  return false;
}

// The lock is held so that Close() can close the socket.
Door::Accepted Door::Accept(size_t index) {
  base::MutexLock lock(mutex_);
  if (index >= listening_.size()) return {.socket = base::Fd(), .error = EAGAIN, .transports = nullptr};
  Listening& one = listening_[index];
  if (one.is_free() || !one.somebody_waits) return {.socket = base::Fd(), .error = EAGAIN, .transports = nullptr};
  base::Fd socket = AcceptOn(one.listener->fd());
  const int error = socket.valid() ? 0 : errno;
  if (error == EAGAIN || IsForGood(error)) one.somebody_waits = false;
  if (one.has_successor && !one.somebody_waits) {
    Unwatch(*one.listener);
    one.listener.reset();
  }
  return {.socket = std::move(socket), .error = error, .transports = one.transports};
}

// No descriptor is left: the one kept for this case serves to tell the client so.
bool Door::AcceptWithoutDescriptors(size_t index, int error) {
  const absl::Status refusal = base::ErrnoStatus(error, "the server cannot take another client");
  reserve_.Reset();
  Accepted accepted = Accept(index);
  const bool taken = accepted.socket.valid();
  if (taken) {
    Begin(std::move(accepted), refusal);
  } else {
    CannotAccept(index, accepted.error);
  }
  // While the refused client has not spoken yet its socket stands where the reserve did; there is one again with the
  // next.
  reserve_ = base::Duplicate(wake_.get());
  return taken;
}

void Door::Begin(Accepted accepted, const absl::Status& refusal) {
  const absl::Status begun =
      base::OrNoMemory([&] { return handshakes_.Begin(std::move(accepted.socket), *accepted.transports, refusal); });
  if (!begun.ok()) core_.logger->Log({base::LogKind::kConnection}, LogSeverity::kWarning, begun.message());
}

void Door::CannotAccept(size_t index, int error) {
  if (error == EAGAIN) return;
  if (!IsForGood(error)) pause_until_ = base::AfterNow(kPause);
  if (std::exchange(in_trouble_, true)) return;
  std::string name;
  {
    base::MutexLock lock(mutex_);
    if (index >= listening_.size() || listening_[index].is_free()) return;
    name = listening_[index].listener->name();
  }
  const std::string what = absl::StrCat("nobody can connect to ", name, IsForGood(error) ? "" : " at the moment");
  core_.logger->Log({base::LogKind::kConnection}, LogSeverity::kError, base::ErrnoStatus(error, what).message());
}

std::string Door::DebugString() {
  std::string text;
  base::MutexLock lock(mutex_);
  for (const Listening& one : listening_) {
    if (!one.is_free()) absl::StrAppend(&text, "listening: ", one.listener->name(), "\n");
  }
  absl::StrAppend(&text, "handshakes under way: ", handshakes_.count(), "\n");
  return text;
}

}  // namespace nearcall::rpc
