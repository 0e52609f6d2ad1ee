// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace nearcall::rpc {

// What the server's program knows of `.proto` files: those whose code is linked into it, and those of gRPC's standard
// services. (Files compiled for the LITE_RUNTIME are not known to anybody.) Nothing is made before somebody asks.
//
// Each gives files as serialised google.protobuf.FileDescriptorProto: the one asked for, and all that it imports, which
// stand before it. NOT_FOUND: there is none. Thread-safe.
absl::StatusOr<std::vector<std::string>> FileByName(const std::string& name);
absl::StatusOr<std::vector<std::string>> FileOfSymbol(const std::string& full_name);
absl::StatusOr<std::vector<std::string>> FileOfExtension(const std::string& type, int number);

// The numbers of all extensions of a message type.
absl::StatusOr<std::vector<int>> ExtensionsOf(const std::string& type);

}  // namespace nearcall::rpc
