// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/peer_socket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <utility>

#include "base/closer.h"
#include "base/syscall.h"

namespace nearcall::transport {

namespace {

struct Look {
  ssize_t size;
  bool truncated;  // there is something beside the bytes, for which there is no room
};

Look Peek(const base::Fd& socket) {
  char byte;
  iovec data{.iov_base = &byte, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  const ssize_t size = base::Retry([&] { return ::recvmsg(socket.get(), &message, MSG_PEEK | MSG_DONTWAIT); });
  return {.size = size, .truncated = size >= 0 && (message.msg_flags & MSG_CTRUNC) != 0};
}

bool HasUnread(const base::Fd& socket) {
  Look look = Peek(socket);
  if (look.size < 0 && errno == ECONNRESET) look = Peek(socket);
  return look.size > 0 || look.truncated;
}

}  // namespace

NextMessage LookAtNext(const base::Fd& socket) {
  const Look look = Peek(socket);
  if (look.size < 0 && errno == EAGAIN) return NextMessage::kNone;
  if (look.size < 0 && errno == ECONNRESET) return NextMessage::kReset;
  return look.truncated ? NextMessage::kFds : NextMessage::kMessage;
}

void CloseSocket(base::Fd socket) {
  if (!socket.valid()) return;
  ::shutdown(socket.get(), SHUT_RDWR);  // nothing further comes in
  if (HasUnread(socket)) base::CloseElsewhere(std::move(socket));
}

void CloseListener(base::Fd listener) {
  ::shutdown(listener.get(), SHUT_RDWR);  // nobody connects any more
  for (;;) {
    base::Fd waiting(base::Retry([&] { return ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); }));
    if (!waiting.valid()) break;
    CloseSocket(std::move(waiting));
  }
  // Without a descriptor for each of them the kernel has to close them all.
  if (errno != EAGAIN && errno != EINVAL) base::CloseElsewhere(std::move(listener));
}

}  // namespace nearcall::transport
