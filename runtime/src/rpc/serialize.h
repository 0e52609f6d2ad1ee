// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/check.h"
#include "google/protobuf/message_lite.h"

namespace nearcall::rpc {

// Serialises a message whose sizes ByteSizeLong() has cached. It fills `to` exactly: one that another thread of the
// user's changes meanwhile may not, and what stands behind `to` would be overwritten unnoticed.
inline void SerializeCached(const google::protobuf::MessageLite& message, std::span<std::byte> to) {
  auto* const begin = reinterpret_cast<uint8_t*>(to.data());
  const uint8_t* const end = message.SerializeWithCachedSizesToArray(begin);
  NEARCALL_CHECK(static_cast<size_t>(end - begin) == to.size());
}

// What stands behind it, one part behind the other.
inline void SerializeTail(std::span<const std::span<const std::byte>> tail, std::span<std::byte> to) {
  for (const std::span<const std::byte> part : tail) {
    if (!part.empty()) std::memcpy(to.data(), part.data(), part.size());
    to = to.subspan(part.size());
  }
}

}  // namespace nearcall::rpc
