// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "transport/mq/queue_size.h"

namespace nearcall::transport::mq {

// Why mq_open(3) could not make a queue, for people: which limit, what it is, what to do. The same errno stands for
// several limits, so this looks at the process too.
absl::Status CreationError(int error, const QueueSize& size);

}  // namespace nearcall::transport::mq
