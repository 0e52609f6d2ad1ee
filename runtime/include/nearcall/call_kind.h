// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace nearcall {

// What a call carries.
enum class CallKind : uint8_t { kUnary, kClientStreaming, kServerStreaming, kBidiStreaming, kOneWay };

}  // namespace nearcall
