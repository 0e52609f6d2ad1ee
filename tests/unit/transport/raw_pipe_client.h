// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "transport/pipe/pipe_offer.h"
#include "unit/transport/passed.h"

// What the tests of the pipes share. In one header: the test program is made of the *_test.cc files alone.
namespace nearcall::transport::pipe {

// Copies of what the server passes, used by no runtime but by a program that does with it what it likes.
class RawClient {
 public:
  explicit RawClient(const TransportOffer& offer) : fds_(Passed(offer)) {}

  int requests() const { return fds_[0].get(); }
  int replies() const { return fds_[1].get(); }

  void Write(absl::string_view bytes) const {
    if (::write(requests(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) ::abort();
  }
  void WriteLength(uint32_t length) const {
    Write(absl::string_view(reinterpret_cast<const char*>(&length), sizeof(length)));
  }
  void WriteFrame(absl::string_view frame) const {
    WriteLength(static_cast<uint32_t>(frame.size()));
    Write(frame);
  }

  // All that is there.
  std::string Read() const {
    std::string all;
    std::array<char, 4096> part;
    for (ssize_t size; (size = ::read(replies(), part.data(), part.size())) > 0;) {
      all.append(part.data(), static_cast<size_t>(size));
    }
    return all;
  }

  // 0, or the errno.
  int SetPipeSize(int size) const {
    for (const base::Fd& fd : fds_) {
      if (::fcntl(fd.get(), F_SETPIPE_SZ, size) == -1) return errno;
    }
    return 0;
  }

  void Die() { fds_.clear(); }

 private:
  std::vector<base::Fd> fds_;
};

inline bool Commit(Transport& transport, absl::string_view frame) {
  const std::span<std::byte> room = transport.Reserve(frame.size(), 1);
  if (room.empty()) return false;
  std::memcpy(room.data(), frame.data(), frame.size());
  transport.Commit();
  return true;
}

// Without Release(). Nothing if there is no frame.
inline std::optional<std::string> Receive(Transport& transport) {
  size_t size = 0;
  if (transport.Peek(size) != Transport::ReadState::kFrame) return std::nullopt;
  std::string frame(size, '\0');
  transport.CopyOut(0, std::as_writable_bytes(std::span(frame)));
  transport.Pop();
  return frame;
}

}  // namespace nearcall::transport::pipe
