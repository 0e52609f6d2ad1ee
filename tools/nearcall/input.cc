// SPDX-License-Identifier: Apache-2.0
#include "input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "json.h"

namespace nearcall::tools {

namespace {

// How soon a reader hears that nothing is wanted any more.
constexpr absl::Duration kLook = absl::Milliseconds(50);

int PollTimeout(absl::Time deadline) {
  return static_cast<int>(absl::ToInt64Milliseconds(std::clamp(deadline - absl::Now(), absl::ZeroDuration(), kLook)));
}

}  // namespace

absl::StatusOr<Input> Input::Open(const std::string& data) {
  if (data.empty() || data[0] != '@') return Input(data, -1);
  if (data == "@-") return Input("", STDIN_FILENO);
  const std::string path = data.substr(1);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  return Input("", fd);
}

Input::Input(Input&& other) noexcept : text_(std::move(other.text_)), fd_(std::exchange(other.fd_, -1)) {}

Input::~Input() {
  if (fd_ > STDIN_FILENO) ::close(fd_);
}

// False: there is no more, or none is wanted.
absl::StatusOr<bool> Input::ReadMore(absl::Time deadline, const std::atomic<bool>& stop) {
  while (fd_ >= 0 && !stop) {
    if (absl::Now() >= deadline) return absl::DeadlineExceededError("standard input has not ended in time (--timeout)");
    pollfd ready = {.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, PollTimeout(deadline)) <= 0) continue;
    std::array<char, 65536> buffer;
    const ssize_t size = ::read(fd_, buffer.data(), buffer.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size < 0) return absl::NotFoundError(absl::StrCat("cannot read what is to be sent: ", std::strerror(errno)));
    if (size == 0) return false;
    text_.append(buffer.data(), static_cast<size_t>(size));
    return true;
  }
  return false;
}

absl::StatusOr<bool> Input::Next(std::string& line, absl::Time deadline, const std::atomic<bool>& stop) {
  for (;;) {
    const size_t end = text_.find('\n');
    if (end == std::string::npos) {
      const absl::StatusOr<bool> more = ReadMore(deadline, stop);
      if (!more.ok()) return more;
      if (*more) continue;
      line = std::exchange(text_, "");
      return !stop && !absl::StripAsciiWhitespace(line).empty();
    }
    line = text_.substr(0, end);
    text_.erase(0, end + 1);
    if (!absl::StripAsciiWhitespace(line).empty()) return true;
  }
}

absl::StatusOr<std::string> Input::All(absl::Time deadline) {
  const std::atomic<bool> never{false};
  for (;;) {
    const absl::StatusOr<bool> more = ReadMore(deadline, never);
    if (!more.ok()) return more.status();
    if (!*more) return std::exchange(text_, "");
  }
}

absl::Status ReadMessage(Input& input, absl::Time deadline, google::protobuf::Message& message) {
  const absl::StatusOr<std::string> text = input.All(deadline);
  if (!text.ok()) return text.status();
  return absl::StripAsciiWhitespace(*text).empty() ? absl::OkStatus() : FromJson(*text, message);
}

}  // namespace nearcall::tools
