// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/hello_socket.h"

#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/closer.h"
#include "base/syscall.h"

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

void TakeControl(msghdr& message, HelloMessage& hello) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    const size_t size = header->cmsg_len - CMSG_LEN(0);
    if (header->cmsg_type == SCM_CREDENTIALS && size == sizeof(ucred)) {
      ucred sender;
      std::memcpy(&sender, CMSG_DATA(header), sizeof(sender));
      hello.sender = sender;
    }
    if (header->cmsg_type == SCM_RIGHTS) {
      for (size_t offset = 0; offset + sizeof(int) <= size; offset += sizeof(int)) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(header) + offset, sizeof(fd));
        base::Fd taken(fd);
        if (taken.valid()) {
          hello.fds.push_back(std::move(taken));
        } else {
          hello.lost_fds = true;  // it had one of the standard numbers, and there was no room to move it
        }
      }
    }
  }
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
  TakeControl(message, hello);
  hello.bytes.resize(static_cast<size_t>(size));
  if ((message.msg_flags & MSG_CTRUNC) != 0) hello.lost_fds = true;
  if (look) {
    hello.brings_fds = hello.lost_fds || !hello.fds.empty();
    // They have room if the kernel does not say who sends.
    Discard(std::exchange(hello.fds, {}));
  }
  if (size == 0 && !hello.brings_fds) return absl::UnavailableError("the peer hung up during the handshake");
  return hello;
}

void Discard(std::vector<base::Fd> fds) {
  for (base::Fd& fd : fds) base::CloseElsewhere(std::move(fd));
}

}  // namespace nearcall::transport
