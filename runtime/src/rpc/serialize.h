// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
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

}  // namespace nearcall::rpc
