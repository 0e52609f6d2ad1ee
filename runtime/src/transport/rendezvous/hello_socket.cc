// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/hello_socket.h"

#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/syscall.h"
#include "transport/rendezvous/passed_fds.h"

namespace nearcall::transport {

namespace {

// The kernel writes the credentials first. Room for them alone is filled by them: nothing is left for a descriptor.
constexpr size_t kCredentialsSpace = CMSG_SPACE(sizeof(ucred));

// All that the kernel ever passes with one message (SCM_MAX_FD). With less room it would close the others, here and
// now.
constexpr size_t kMaxFdsOfAMessage = 253;
constexpr size_t kFdsSpace = CMSG_SPACE(kMaxFdsOfAMessage * sizeof(int));

struct ControlBuffer {
  alignas(cmsghdr) std::array<char, kCredentialsSpace + kFdsSpace> bytes{};
};

void AppendControl(msghdr& message, int type, const void* data, size_t size) {
  auto* const header = reinterpret_cast<cmsghdr*>(static_cast<char*>(message.msg_control) + message.msg_controllen);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(header), data, size);
  message.msg_controllen += CMSG_SPACE(size);
}

ssize_t Send(const base::Fd& socket, std::span<const std::byte> bytes, std::span<const int> fds, bool credentials) {
  ControlBuffer control;
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  if (credentials) {
    const ucred own{.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()};
    AppendControl(message, SCM_CREDENTIALS, &own, sizeof(own));
  }
  if (!fds.empty()) AppendControl(message, SCM_RIGHTS, fds.data(), fds.size_bytes());
  if (message.msg_controllen == 0) message.msg_control = nullptr;
  return base::Retry([&] { return ::sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

std::optional<ucred> SenderOf(msghdr& message) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_CREDENTIALS) continue;
    if (header->cmsg_len != CMSG_LEN(sizeof(ucred))) continue;
    ucred sender;
    std::memcpy(&sender, CMSG_DATA(header), sizeof(sender));
    return sender;
  }
  return std::nullopt;
}

}  // namespace

absl::Status SendHello(const base::Fd& socket, std::span<const std::byte> bytes, std::span<const int> fds) {
  NEARCALL_CHECK(bytes.size() <= kMaxHelloSize && fds.size() <= kMaxHelloFds);
  ssize_t sent = Send(socket, bytes, fds, /*credentials=*/true);
  // A user who has no number in its own namespace cannot name itself; then the kernel does, by the real uid.
  if (sent < 0 && (errno == EINVAL || errno == EPERM)) sent = Send(socket, bytes, fds, /*credentials=*/false);
  if (sent < 0) return base::ErrnoStatus("send the hello");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<HelloMessage>> ReceiveHello(const base::Fd& socket, Taking taking) {
  const bool look = taking == Taking::kLook;
  ControlBuffer control;
  HelloMessage hello;
  hello.bytes.resize(kMaxHelloSize);
  if (!look) hello.fds.reserve(kMaxFdsOfAMessage);  // once they are here there must be room for them
  iovec data{.iov_base = hello.bytes.data(), .iov_len = hello.bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = look ? kCredentialsSpace : control.bytes.size();
  const int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (look ? MSG_PEEK : 0);
  const ssize_t size = base::Retry([&] { return ::recvmsg(socket.get(), &message, flags); });
  if (size < 0 && errno == EAGAIN) return std::nullopt;
  if (size < 0) return base::ErrnoStatus("receive the hello");
  hello.sender = SenderOf(message);
  TakePassedFds(message, [&hello](base::Fd fd) {
    if (fd.valid()) {
      hello.fds.push_back(std::move(fd));
    } else {
      hello.lost_fds = true;
    }
  });
  hello.bytes.resize(static_cast<size_t>(size));
  if ((message.msg_flags & MSG_CTRUNC) != 0) hello.lost_fds = true;
  if (look) {
    hello.brings_fds = hello.lost_fds || !hello.fds.empty();
    // They have room if the kernel does not say who sends.
    Discard(hello.fds);
    hello.fds.clear();
  }
  if (size == 0 && !hello.brings_fds) return absl::UnavailableError("the peer hung up during the handshake");
  return hello;
}

}  // namespace nearcall::transport
