// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "google/protobuf/descriptor.h"

namespace nearcall::plugin {

// What a `.proto` says of a method by the options of nearcall/options.proto, or their defaults.
struct MethodOptions {
  const char* priority = "kNormal";  // of nearcall::Priority
  int64_t timeout_ns = 0;
  bool may_block = false;
  bool one_way = false;
  uint32_t descriptors = 0;
};

MethodOptions OptionsOf(const google::protobuf::MethodDescriptor& method);

}  // namespace nearcall::plugin
