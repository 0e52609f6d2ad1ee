// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"

namespace nearcall::transport {

// The number that stands in /proc/sys under `name` ("kernel/msgmax"), if there is one.
std::optional<size_t> ReadSysctl(absl::string_view name);

}  // namespace nearcall::transport
