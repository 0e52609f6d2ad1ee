// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "transport/control.h"

namespace nearcall::transport {

// A control message on the wire: byte 0 the kind, bytes 1 to 7 zero (not looked at), bytes 8 to 15 the call id or
// number, little-endian.
inline constexpr size_t kControlMessageSize = 16;
using ControlBytes = std::array<std::byte, kControlMessageSize>;

ControlBytes EncodeControl(const ControlMessage& message);

// nullopt: a kind that this version does not know.
std::optional<ControlMessage> DecodeControl(const ControlBytes& bytes);

}  // namespace nearcall::transport
