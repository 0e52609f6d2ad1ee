// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace nearcall::transport::sysv {

// The number that stands in /proc/sys/kernel under `name`, if there is one.
std::optional<size_t> ReadSysctl(absl::string_view name);

// The largest frame of a queue of `capacity_bytes`: a quarter of it, so that writer and reader work at the same time,
// and no more than a message may have (`max_message`, kernel.msgmax) nor than kMaxQueueMessageSize.
// RESOURCE_EXHAUSTED if that is less than kMinQueueMessageSize.
absl::StatusOr<size_t> ChooseFrameSize(size_t capacity_bytes, size_t max_message);

}  // namespace nearcall::transport::sysv
