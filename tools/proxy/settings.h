// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy.pb.h"

namespace nearcall::proxy {

// The file of a configuration.
absl::StatusOr<Config> ReadConfig(const std::string& path);

// What two words of the command line mean: one of them is `grpc:HOST:PORT`.
absl::Status AddPair(const std::string& listen, const std::string& to, bool plaintext, Config& config);

// Nothing is missing, and nothing goes to other hosts in the clear that was not meant to. All but what only the kernel
// knows, or the files that are named.
absl::Status Check(const Config& config);

absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace nearcall::proxy
