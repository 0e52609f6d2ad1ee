// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nearcall/metadata.h"

namespace nearcall::tools {

// "name: value" of each -H. Values of names that end in -bin are base64, as in gRPC. INVALID_ARGUMENT.
absl::StatusOr<Metadata> MetadataOf(const std::vector<std::string>& headers);

// The same way back, a line for each, behind `prefix`.
std::string ToText(const Metadata& metadata, const char* prefix);

}  // namespace nearcall::tools
