// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/queue_size.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "transport/sysctl.h"

namespace nearcall::transport::mq {

namespace {

// struct msg_msg and struct posix_msg_tree_node of the kernel.
constexpr size_t kChargePerMessage = 96;

constexpr size_t kEnoughMessages = 4;

size_t MessagesThatFit(uint64_t charge, size_t message_size) {
  return static_cast<size_t>(std::min<uint64_t>(charge / (message_size + kChargePerMessage), base::kMaxQueueMessages));
}

}  // namespace

size_t ChargeOf(const QueueSize& size) {
  return size.max_messages * (size.message_size + kChargePerMessage);
}

QueueLimits QueueLimits::Now() {
  rlimit limit{};
  const bool limited = ::getrlimit(RLIMIT_MSGQUEUE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  // Without /proc: what Linux starts with.
  return {
      .charge = limited ? limit.rlim_cur : kUnlimited,
      .max_messages = ReadSysctl("fs/mqueue/msg_max").value_or(base::kMaxQueueMessages),
      .message_size = ReadSysctl("fs/mqueue/msgsize_max").value_or(base::kMaxQueueMessageSize),
  };
}

absl::StatusOr<QueueSize> ChooseQueueSize(const QueueLimits& limits, size_t expected_clients) {
  if (limits.message_size < base::kMinQueueMessageSize) {
    return absl::ResourceExhaustedError(absl::StrCat("mq: fs.mqueue.msgsize_max is ", limits.message_size,
                                                     ", at least ", base::kMinQueueMessageSize,
                                                     " is needed; raise it (sysctl fs.mqueue.msgsize_max) or use shm: "
                                                     "or pipe:"));
  }
  const uint64_t share = limits.charge / 2 / std::max<size_t>(expected_clients, 1);
  const size_t most = std::max<size_t>(std::min(limits.max_messages, base::kMaxQueueMessages), 1);
  for (size_t message_size = base::kMaxQueueMessageSize; message_size > base::kMinQueueMessageSize; message_size /= 2) {
    const size_t messages = std::min(MessagesThatFit(share, message_size), most);
    if (message_size <= limits.message_size && messages >= std::min(kEnoughMessages, most)) {
      return QueueSize{.max_messages = messages, .message_size = message_size};
    }
  }
  return QueueSize{.max_messages = std::clamp<size_t>(MessagesThatFit(share, base::kMinQueueMessageSize), 1, most),
                   .message_size = base::kMinQueueMessageSize};
}

}  // namespace nearcall::transport::mq
