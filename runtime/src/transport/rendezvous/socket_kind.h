// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

namespace nearcall::transport {

// What an inherited descriptor is. False for a number that is not open, too.

inline bool SocketOptionIs(int fd, int option, int expected) {
  int value = -1;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == expected;
}

inline bool IsSeqpacketSocket(int fd) {
  return SocketOptionIs(fd, SO_DOMAIN, AF_UNIX) && SocketOptionIs(fd, SO_TYPE, SOCK_SEQPACKET);
}

inline bool IsConnected(int fd) {
  sockaddr_storage peer;
  socklen_t size = sizeof(peer);
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

inline bool IsListening(int fd) {
  return SocketOptionIs(fd, SO_ACCEPTCONN, 1);
}

}  // namespace nearcall::transport
