// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/mq/queue_size.h"

namespace nearcall::transport::mq {

// A POSIX message queue (mq_overview(7)): one direction of a connection. On Linux an mqd_t is a file descriptor: it can
// be polled, passed to another process, and closed as any other. The two have nothing in common but the queue: what one
// side does to the flags of its own does not concern the other side.
struct Queue {
  base::Fd read_end;   // O_RDONLY | O_NONBLOCK
  base::Fd write_end;  // O_WRONLY | O_NONBLOCK
};

// Makes a queue that has no name any more. RESOURCE_EXHAUSTED with the limit's name, its value and a remedy;
// UNAVAILABLE where there are no message queues.
absl::StatusOr<Queue> CreateQueue(const QueueSize& size);

enum class QueueEnd { kRead, kWrite };

// What of `fd`, which the peer sent, is not as it should be: that end of a queue of that size, not blocking. Otherwise
// INTERNAL, with what was expected and what came.
absl::Status VerifyQueueEnd(const base::Fd& fd, QueueEnd end, const QueueSize& size);

// Messages that are in the queue, by either end; nothing if that cannot be known.
std::optional<size_t> MessagesIn(const base::Fd& fd);

}  // namespace nearcall::transport::mq
