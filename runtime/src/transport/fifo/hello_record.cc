// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/hello_record.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/syscall.h"
#include "transport/framing.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::transport::fifo {

absl::StatusOr<std::optional<std::vector<std::byte>>> HelloReader::Next(const base::Fd& fifo) {
  for (;;) {
    size_t wanted = kLengthSize;
    if (bytes_.size() >= kLengthSize) {
      Length length;
      std::memcpy(&length, bytes_.data(), kLengthSize);
      if (length == 0 || length > kMaxHelloSize) {
        return absl::InternalError(absl::StrCat("the peer broke the protocol of the handshake: it sent a message of ",
                                                length, " B, expected 1 to ", kMaxHelloSize));
      }
      wanted += length;
    }
    const size_t had = bytes_.size();
    if (had == wanted) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + kLengthSize);
      return std::exchange(bytes_, {});
    }
    bytes_.resize(wanted);
    const ssize_t taken = base::Retry([&] { return ::read(fifo.get(), bytes_.data() + had, wanted - had); });
    bytes_.resize(had + static_cast<size_t>(taken > 0 ? taken : 0));
    if (taken == 0) return absl::UnavailableError("the peer has gone in the handshake");
    if (taken == -1 && errno == EAGAIN) return std::nullopt;
    if (taken == -1) return base::ErrnoStatus("read a FIFO");
  }
}

absl::Status WriteHello(const base::Fd& fifo, std::span<const std::byte> bytes) {
  std::vector<std::byte> record(kLengthSize);
  const auto length = static_cast<Length>(bytes.size());
  std::memcpy(record.data(), &length, kLengthSize);
  record.insert(record.end(), bytes.begin(), bytes.end());
  const ssize_t written = base::Retry([&] { return ::write(fifo.get(), record.data(), record.size()); });
  if (written == static_cast<ssize_t>(record.size())) return absl::OkStatus();
  if (written == -1 && errno != EAGAIN) return base::ErrnoStatus("write to a FIFO");
  return absl::UnavailableError("there is no room in a FIFO that was just made; somebody else writes to it");
}

}  // namespace nearcall::transport::fifo
