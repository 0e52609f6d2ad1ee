// SPDX-License-Identifier: Apache-2.0
#include "fuzz/hostile_handshake.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"
#include "transport/transport_table.h"

namespace nearcall::fuzz {

namespace {

class HandshakeAttack {
 public:
  HandshakeAttack(Victim& victim, Input& script) : victim_(victim), script_(script), socket_(victim.Connect()) {}

  void Run() {
    while (!script_.empty() && Step()) {
    }
  }

 private:
  uint8_t Byte() { return script_.Take<uint8_t>(); }

  // False: hangs up.
  bool Step() {
    switch (Byte() % 10) {
      case 0:
        Send(Hello());
        break;
      case 1:
        TakeAnswer();
        break;
      case 2:
        Send(Ack());
        break;
      case 3:
        Send(Spoilt(Ack()));
        break;
      case 4:
        SendFromAnotherProcess(Ack());
        break;
      case 5:
        SendWithDescriptors(socket_.get(), Ack(), DescriptorOfKind(Byte()), 1);
        break;
      case 6:
        SendWithDescriptors(socket_.get(), Spoilt(Hello()), DescriptorOfKind(Byte()), 1);
        break;
      case 7:
        victim_.PermitDescriptors();
        break;
      case 8:
        victim_.CheckBystander();
        break;
      default:
        return false;
    }
    return true;
  }

  std::vector<std::byte> Hello() { return transport::Encode(transport::ClientHello{.transports = Byte()}); }
  static std::vector<std::byte> Ack() { return transport::EncodeAck(absl::StatusCode::kOk); }

  std::vector<std::byte> Spoilt(std::vector<std::byte> bytes) {
    bytes.resize(std::min<size_t>(bytes.size(), Byte()));
    if (!bytes.empty()) bytes[Byte() % bytes.size()] ^= std::byte{Byte()};
    return bytes;
  }

  void Send(const std::vector<std::byte>& bytes) {
    ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void SendFromAnotherProcess(const std::vector<std::byte>& bytes) {
    const pid_t child = ::fork();
    if (child == 0) {
      Send(bytes);
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
  }

  // Descriptors and all, if it has come. Over shared memory it is not sealed then.
  void TakeAnswer() { transport::ReceiveHello(socket_, transport::Taking::kTake).status().IgnoreError(); }

  Victim& victim_;
  Input& script_;
  const base::Fd socket_;
};

}  // namespace

base::Fd DescriptorOfKind(size_t kind) {
  int pair[2] = {-1, -1};
  switch (kind % 5) {
    case 0:
      return base::Fd(::eventfd(0, EFD_CLOEXEC));
    case 1:
      return base::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    case 2:
      return base::Fd(::memfd_create("fuzz", MFD_CLOEXEC));
    case 3:
      if (::pipe2(pair, O_CLOEXEC) != 0) return base::Fd();
      break;
    default:
      if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return base::Fd();
      break;
  }
  const base::Fd other(pair[1]);
  return base::Fd(pair[0]);
}

void SendWithDescriptors(int socket, std::span<const std::byte> bytes, const base::Fd& fd, size_t count) {
  iovec data = {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  const std::vector<int> fds(count, fd.get());
  const size_t size = fds.size() * sizeof(int);
  std::vector<std::max_align_t> buffer(CMSG_SPACE(size) / sizeof(std::max_align_t) + 1);
  if (count != 0) {
    message.msg_control = buffer.data();
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), fds.data(), size);
  }
  ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void AttackHandshake(Victim& victim, Input& script) {
  HandshakeAttack(victim, script).Run();
}

}  // namespace nearcall::fuzz
