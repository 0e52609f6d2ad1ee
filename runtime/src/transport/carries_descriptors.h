// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace nearcall::transport {

// FAILED_PRECONDITION if messages over the transport of that name bring no descriptors, and over which they do.
absl::Status CarriesDescriptors(absl::string_view transport);

}  // namespace nearcall::transport
