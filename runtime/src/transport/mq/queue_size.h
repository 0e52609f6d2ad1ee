// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"

namespace nearcall::transport::mq {

// The size of one message queue, fixed when it is made.
struct QueueSize {
  size_t max_messages = 0;
  size_t message_size = 0;  // the largest message, in bytes
};

// What the kernel counts against RLIMIT_MSGQUEUE for a queue, from its making on and however little is in it: the
// messages, and for each the kernel's own two records of 48 bytes (getrlimit(2)).
size_t ChargeOf(const QueueSize& size);

// What this process may have of message queues.
struct QueueLimits {
  static constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

  uint64_t charge = 0;      // soft RLIMIT_MSGQUEUE: for all queues of this user together
  size_t max_messages = 0;  // fs.mqueue.msg_max
  size_t message_size = 0;  // fs.mqueue.msgsize_max

  static QueueLimits Now();
};

// The size of each queue of a server to which `expected_clients` come, two queues each:
//
//   the largest message size of 8192, 4096, ... 256 B with which four messages fit into a queue's share of the limit,
//   then as many messages as fit, at most ten;  256 B and what fits, at least one message, where four never do.
//
// Large messages, because each costs a system call on both sides. At least four of them, because then writer and reader
// work at the same time instead of waiting for each other in turn. Ten is what Linux allows without privilege. A share
// that is too small for one message is no error here: clients that are expected need not come.
//
// RESOURCE_EXHAUSTED if fs.mqueue.msgsize_max is below 256.
absl::StatusOr<QueueSize> ChooseQueueSize(const QueueLimits& limits, size_t expected_clients);

}  // namespace nearcall::transport::mq
