// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <optional>
#include <span>
#include <string>

#include "nearcall/server_context.h"
#include "process.h"
#include "transport/sysv/queue.h"
#include "transport/transport.h"

// What tests of System V queues need.
namespace nearcall::transport::sysv {

inline PeerIdentity Self() {
  return {.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()};
}

inline bool Exists(QueueId queue) {
  return LevelOf(queue).has_value();
}

inline bool Send(Transport& transport, const std::string& frame, int lane = 1) {
  const std::span<std::byte> room = transport.Reserve(frame.size(), lane);
  if (room.empty()) return false;
  transport.Fill(room, std::as_bytes(std::span(frame)));
  transport.Commit();
  return true;
}

inline std::optional<std::string> Receive(Transport& transport) {
  size_t size = 0;
  if (transport.Peek(size) != Transport::ReadState::kFrame) return std::nullopt;
  std::string frame(size, '\0');
  transport.CopyOut(0, std::as_writable_bytes(std::span(frame)));
  transport.Pop();
  transport.Release();
  return frame;
}

// Bytes in a pipe.
inline int Rings(int bell) {
  int count = -1;
  return ::ioctl(bell, FIONREAD, &count) == 0 ? count : -1;
}

}  // namespace nearcall::transport::sysv
