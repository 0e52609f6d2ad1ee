// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/bells.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/syscall.h"
#include "transport/transport.h"

namespace nearcall::rpc {

namespace {

using transport::Transport;

// What an event is about: a connection's number, or this.
constexpr uint64_t kOwn = uint64_t{1} << 32;

constexpr int kEventsPerTurn = 64;

}  // namespace

absl::Status Bells::Open() {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return base::ErrnoStatus("cannot start a server (epoll_create1)");
  wake_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return base::ErrnoStatus("cannot start a server (eventfd)");
  return Watch(wake_.get(), EPOLLIN | EPOLLET, kOwn);
}

absl::Status Bells::Watch(int fd, uint32_t events, uint64_t data) {
  epoll_event event{.events = events, .data = {.u64 = data}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return base::ErrnoStatus("cannot watch a descriptor (epoll_ctl)");
}

absl::Status Bells::Add(session::ServerSession& session) {
  const Transport::WaitFds fds = session.transport().wait_fds();
  absl::Status status;
  if (fds.bell >= 0) status.Update(Watch(fds.bell, EPOLLIN | EPOLLET, session.id()));
  // Of these nothing is reported before ListenOnce().
  if (fds.readable >= 0) status.Update(Watch(fds.readable, EPOLLONESHOT, session.id()));
  if (fds.writable >= 0) status.Update(Watch(fds.writable, EPOLLONESHOT, session.id()));
  return status;
}

void Bells::ListenOnce(session::ServerSession& session, uint32_t interest) {
  const Transport::WaitFds fds = session.transport().wait_fds();
  const auto listen = [&](int fd, uint32_t events) {
    epoll_event event{.events = events | EPOLLONESHOT, .data = {.u64 = session.id()}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  };
  if (fds.readable >= 0 && (interest & Transport::kFrames) != 0) listen(fds.readable, EPOLLIN);
  if (fds.writable >= 0 && (interest & Transport::kRoom) != 0) listen(fds.writable, EPOLLOUT);
}

void Bells::Remove(session::ServerSession& session) {
  const Transport::WaitFds fds = session.transport().wait_fds();
  // Explicitly: the client may hold a duplicate, and then closing ours would not end the watch (epoll(7)).
  for (const int fd : {fds.bell, fds.readable, fds.writable}) {
    if (fd >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
}

void Bells::Wake() {
  if (!wake_.valid()) return;
  const uint64_t one = 1;
  // Full (EAGAIN) means that it is readable already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

bool Bells::Wait(int64_t timeout_ns, absl::FunctionRef<void(uint32_t connection_id)> rung) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int timeout_ms = static_cast<int>(timeout_ns / 1'000'000);
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, timeout_ms);
  for (const epoll_event& event : std::span(events).first(static_cast<size_t>(std::max(count, 0)))) {
    if (event.data.u64 != kOwn) {
      rung(static_cast<uint32_t>(event.data.u64));
      continue;
    }
    uint64_t ignored;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &ignored, sizeof(ignored));
  }
  return count > 0;
}

}  // namespace nearcall::rpc
