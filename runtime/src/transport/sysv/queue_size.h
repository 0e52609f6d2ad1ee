// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"

namespace nearcall::transport::sysv {

// The largest frame of a queue of `capacity_bytes`: a quarter of it, so that writer and reader work at the same time,
// and no more than a message may have (`max_message`, kernel.msgmax) nor than kMaxQueueMessageSize.
// RESOURCE_EXHAUSTED if that is less than kMinQueueMessageSize.
absl::StatusOr<size_t> ChooseFrameSize(size_t capacity_bytes, size_t max_message);

}  // namespace nearcall::transport::sysv
