// SPDX-License-Identifier: Apache-2.0
#include "support/lines.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/syscall.h"

namespace nearcall::testing {

std::optional<std::string> LineReader::Take() {
  const size_t end = unread_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return line;
}

bool LineReader::Read(int fd) {
  std::array<char, 4096> bytes;
  const ssize_t size = base::Retry([&] { return ::read(fd, bytes.data(), bytes.size()); });
  if (size <= 0) return false;
  unread_.append(bytes.data(), static_cast<size_t>(size));
  return true;
}

void WriteLine(int socket, const std::string& line) {
  const std::string bytes = line + "\n";
  [[maybe_unused]] const ssize_t sent =
      base::Retry([&] { return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
}

}  // namespace nearcall::testing
