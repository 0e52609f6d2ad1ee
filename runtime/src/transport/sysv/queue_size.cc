// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/queue_size.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace nearcall::transport::sysv {

namespace {

constexpr size_t kFramesInQueue = 4;

}  // namespace

absl::StatusOr<size_t> ChooseFrameSize(size_t capacity_bytes, size_t max_message) {
  const size_t size = std::min({capacity_bytes / kFramesInQueue, max_message, base::kMaxQueueMessageSize});
  if (size >= base::kMinQueueMessageSize) return size;
  return absl::ResourceExhaustedError(
      absl::StrCat("sysv: kernel.msgmnb is ", capacity_bytes, " and kernel.msgmax is ", max_message, ", at least ",
                   kFramesInQueue * base::kMinQueueMessageSize, " and ", base::kMinQueueMessageSize,
                   " are needed; raise them (sysctl) or use shm:"));
}

}  // namespace nearcall::transport::sysv
