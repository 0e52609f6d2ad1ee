// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/door.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/syscall.h"
#include "rpc/server/watch_fd.h"
#include "transport/rendezvous/socket_kind.h"

namespace nearcall::rpc {

namespace {

// What an event is about. Listening sockets follow; handshakes have their own numbers, from Handshakes::kFirstId.
constexpr uint64_t kWakeEvent = 0;
constexpr uint64_t kWatchedEvent = 1;
constexpr uint64_t kFirstListener = 2;

constexpr int kEventsPerTurn = 64;

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
  if (absl::Status status = StartTurns(); !status.ok()) return status;
  return sockets_.TakeOver();
}

absl::Status Door::StartTurns() {
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
  absl::Status status = acceptor_.Open(wake_.get());
  status.Update(WatchFd(epoll_.get(), wake_.get(), kWakeEvent));
  if (event_fd_ >= 0) status.Update(WatchFd(epoll_.get(), event_fd_, kWatchedEvent));
  handshakes_.WatchIn(epoll_.get());
  sockets_.WatchIn(epoll_.get(), kFirstListener);
  for (Entry& entry : entries) status.Update(sockets_.Add(std::move(entry.listener), std::move(entry.transports)));
  return status;
}

void Door::Wake() {
  const uint64_t one = 1;
  // Full (EAGAIN) means that it is readable already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

absl::Status Door::Serve(base::Fd socket) {
  if (!transport::IsSeqpacketSocket(socket.get()) || !transport::IsConnected(socket.get())) {
    return absl::InvalidArgumentError("Server::ServeFd: not a connected AF_UNIX socket of type SOCK_SEQPACKET");
  }
  if (!mail_.Put(std::move(socket))) return absl::UnavailableError("the server has shut down");
  Wake();
  return absl::OkStatus();
}

void Door::Close() {
  const absl::Status unlinked = sockets_.Close();
  // Afterwards: nobody comes in once the door has found that it is empty.
  mail_.Close();
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
  Survive([&] { sockets_.LookAfterLostNames(); });
  Survive([&] { acceptor_.TakeTurn(); });
  handshakes_.DropLate(base::NowNs());
  TellIfEmptied();
}

// Whoever was on his way in has been turned away, or is at a poller and counts there.
void Door::TellIfEmptied() {
  if (!IsEmpty()) {
    somebody_came_ = true;
  } else if (std::exchange(somebody_came_, false) && core_.ends_when_alone) {
    core_.on_drained();
  }
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
  const base::SteadyNs until = std::min(handshakes_.NextDeadline(), sockets_.NextLookAt());
  return sockets_.SomebodyWaits() ? std::min(until, acceptor_.MayAcceptAt()) : until;
}

void Door::OnEvent(uint64_t data) {
  if (data >= Handshakes::kFirstId) return handshakes_.Step(data);
  if (data == kWatchedEvent) return on_event_();
  if (data == kWakeEvent) {
    uint64_t ignored;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &ignored, sizeof(ignored));
    return;
  }
  sockets_.OnEvent(data);
}

void Door::ReadMail() {
  auto [sockets, closed] = mail_.Take();
  const size_t count = sockets.size();
  // SUBTLE: each counts until its handshake does.
  absl::Cleanup begun = [&] { mail_.NoteBegun(count); };
  if (closed) {
    sockets.clear();
    std::move(begun).Invoke();
    handshakes_.DropSilent();
    if (IsEmpty() && !std::exchange(emptied_, true)) core_.on_drained();
    return;
  }
  if (sockets.empty()) return;
  somebody_came_ = true;
  const auto all = std::make_shared<Handshakes::Transports>();
  for (const transport::TransportRow& row : transport::Transports()) {
    if (row.MeetsAtSocket()) all->push_back(&row);
  }
  for (base::Fd& socket : sockets) {
    acceptor_.Begin({.newcomer = transport::NewcomerAt(std::move(socket)), .transports = all}, absl::OkStatus());
  }
}

void Door::OnSuccessor(const transport::Listener& listener, pid_t successor) {
  core_.logger->Log({}, LogSeverity::kInfo,
                    absl::StrCat("process ", successor, " has taken ", listener.name(), " over from this server"));
  if (sockets_.GiveAway(listener)) core_.on_succeeded();
}

std::string Door::DebugString() {
  return absl::StrCat(sockets_.DebugString(), "handshakes under way: ", handshakes_.count(), "\n");
}

}  // namespace nearcall::rpc
