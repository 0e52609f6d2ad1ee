// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fake_transport.h"
#include "process.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

// Real and hostile partners for one half of a handshake.
namespace nearcall::transport::testing {

inline constexpr uid_t kOtherUid = 12345;

using MaybeConnection = absl::StatusOr<Connection>;

struct BothEnds {
  MaybeConnection client;
  MaybeConnection server;
};

// A handshake over a socket pair, the server in a thread of its own.
inline BothEnds ShakeHands(const ConnectParams& client = Client(), ServeParams server = Server(),
                           absl::string_view transport = "") {
  auto [ours, theirs] = SocketPair();
  BothEnds both;
  std::thread thread([&, socket = std::move(theirs)]() mutable { both.server = Finish(std::move(socket), server); });
  Address address = FdAddress(std::move(ours));
  address.transport = std::string(transport);
  both.client = Connect(address, client);
  thread.join();
  return both;
}

inline ServeParams Offering(size_t row) {
  ServeParams params = Server();
  params.transports = {&kRows[row]};
  return params;
}

// A server that is only a socket: says `answer` to the client's hello.
inline MaybeConnection ConnectToFakeServer(std::span<const std::byte> answer, std::span<const int> fds = {}) {
  auto [ours, theirs] = SocketPair();
  EXPECT_TRUE(SendHello(theirs, answer, fds).ok());
  return Connect(FdAddress(std::move(ours)), Client());
}

inline ServerHello GoodServerHello() {
  return {.transport_bit = 3, .fd_count = 1, .server_id = 1, .connection_id = 2, .geometry = kFakeGeometry};
}

inline ClientHello GoodClientHello() {
  return {.transports = 1u << 3};
}

// A client that is only a socket, against a real server's half.
class FakeClient {
 public:
  explicit FakeClient(ServeParams params = Server()) {
    auto [ours, theirs] = SocketPair();
    const int on = 1;
    ::setsockopt(ours.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
    socket_ = std::move(ours);
    server_ = ServerHandshake::Start(std::move(theirs), std::move(params));
  }

  ServerHandshake::Progress Say(std::span<const std::byte> bytes) {
    EXPECT_TRUE(SendHello(socket_, bytes).ok());
    return server_->Step();
  }
  ServerHandshake& server() { return *server_; }
  base::Fd& socket() { return socket_; }
  ServerHello Answer() { return DecodeServerHello(ReceiveHello(socket_, Taking::kTake).value().value().bytes).value(); }
  // Says hello, and takes what it is offered.
  void TakeOffer() {
    EXPECT_EQ(Say(Encode(GoodClientHello())), ServerHandshake::Progress::kWaiting);
    EXPECT_TRUE(Answer().status.ok());
  }

 private:
  base::Fd socket_;
  std::unique_ptr<ServerHandshake> server_;
};

using Progress = ServerHandshake::Progress;

// Sends one message with `fd` as `count` descriptors, without our own limits. False: the kernel refused.
inline bool SendDescriptors(int socket, std::span<const std::byte> bytes, const std::vector<int>& fds) {
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) >= 0;
}
inline bool SendDescriptors(int socket, std::span<const std::byte> bytes, size_t count, int fd = 0) {
  return SendDescriptors(socket, bytes, std::vector<int>(count, fd));
}

}  // namespace nearcall::transport::testing
