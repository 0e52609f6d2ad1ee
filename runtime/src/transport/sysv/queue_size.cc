// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/queue_size.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/syscall.h"

namespace nearcall::transport::sysv {

namespace {

constexpr size_t kFramesInQueue = 4;

}  // namespace

std::optional<size_t> ReadSysctl(absl::string_view name) {
  const std::string path = absl::StrCat("/proc/sys/kernel/", name);
  const base::Fd file(base::Retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  std::array<char, 32> text;
  const ssize_t size = base::Retry([&] { return ::read(file.get(), text.data(), text.size()); });
  size_t value = 0;
  if (size <= 0 || !absl::SimpleAtoi(absl::string_view(text.data(), static_cast<size_t>(size)), &value)) return {};
  return value;
}

absl::StatusOr<size_t> ChooseFrameSize(size_t capacity_bytes, size_t max_message) {
  const size_t size = std::min({capacity_bytes / kFramesInQueue, max_message, base::kMaxQueueMessageSize});
  if (size >= base::kMinQueueMessageSize) return size;
  return absl::ResourceExhaustedError(
      absl::StrCat("sysv: kernel.msgmnb is ", capacity_bytes, " and kernel.msgmax is ", max_message, ", at least ",
                   kFramesInQueue * base::kMinQueueMessageSize, " and ", base::kMinQueueMessageSize,
                   " are needed; raise them (sysctl) or use shm:"));
}

}  // namespace nearcall::transport::sysv
