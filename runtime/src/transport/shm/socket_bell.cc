// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/socket_bell.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <utility>

#include "base/syscall.h"
#include "transport/rendezvous/peer_socket.h"

namespace nearcall::transport::shm {

namespace {

// Whoever waits in epoll needs no empty bell, only one that is not full: each ring is an event. A socket takes some 270
// rings with the kernel's usual buffer (net.core.wmem_default).
constexpr int kEventsPerTake = 64;

int OptionOf(const base::Fd& fd, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd.get(), SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

SocketBell::~SocketBell() {
  CloseSocket(std::move(fd_));
}

absl::StatusOr<SocketBell::Pair> SocketBell::Create() {
  std::array<int, 2> ends;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return base::ErrnoStatus("shm: make a bell (socketpair)");
  }
  Pair pair{.rings = base::Fd(ends[0]), .hears = base::Fd(ends[1])};
  // What the client would send, and descriptors in it, would lie here unread.
  if (::shutdown(pair.rings.get(), SHUT_RD) != 0) return base::ErrnoStatus("shm: make a bell (shutdown)");
  return pair;
}

absl::Status SocketBell::Verify(const base::Fd& fd) {
  if (OptionOf(fd, SO_DOMAIN) == AF_UNIX && OptionOf(fd, SO_TYPE) == SOCK_STREAM) return absl::OkStatus();
  return absl::InternalError("the peer sent a descriptor for a bell that is not a Unix-domain stream socket");
}

void SocketBell::Ring() {
  const char byte = 0;
  // It fails if the bell is full, or nobody hears it any more.
  [[maybe_unused]] const ssize_t sent =
      base::Retry([&] { return ::send(fd_.get(), &byte, sizeof(byte), MSG_DONTWAIT | MSG_NOSIGNAL); });
}

// The end of the peer would be readable for good: it is no ring, and told elsewhere.
bool SocketBell::Wait(base::SteadyNs until) {
  if (Take()) return true;
  sleeper_->Wait({.readable = peer_is_gone_ ? -1 : fd_.get()}, Transport::kFrames, until);
  return Take();
}

void SocketBell::Clear() {
  if (++events_ == kEventsPerTake) Take();
}

void SocketBell::Interrupt() {
  if (sleeper_ != nullptr) sleeper_->Interrupt();
}

// True: it had been rung. Bounded, whatever the peer does: what it rings meanwhile is an event of its own.
bool SocketBell::Take() {
  events_ = 0;
  std::array<char, 4 * kEventsPerTake> bytes;
  iovec data{.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  // Looked at first. Without room for anything beside the bytes, which is told.
  const ssize_t size = base::Retry([&] { return ::recvmsg(fd_.get(), &message, MSG_PEEK | MSG_DONTWAIT); });
  peer_is_gone_ = size == 0;
  if (size <= 0 || (message.msg_flags & MSG_CTRUNC) != 0) return size > 0;
  return base::Retry([&] { return ::recv(fd_.get(), bytes.data(), static_cast<size_t>(size), MSG_DONTWAIT); }) > 0;
}

}  // namespace nearcall::transport::shm
