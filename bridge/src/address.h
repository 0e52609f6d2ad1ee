// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace nearcall::grpc {

inline constexpr absl::string_view kScheme = "grpc:";

// What gRPC calls the host and port of "grpc:HOST:PORT". INVALID_ARGUMENT: it is none.
absl::StatusOr<std::string> ParseAddress(absl::string_view address);

}  // namespace nearcall::grpc
