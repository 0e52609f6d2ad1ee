// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/control_message.h"

#include <bit>
#include <cstring>

namespace nearcall::transport {

namespace {

static_assert(std::endian::native == std::endian::little, "the layout is little-endian");

constexpr size_t kNumberOffset = 8;

}  // namespace

ControlBytes EncodeControl(const ControlMessage& message) {
  ControlBytes bytes{};
  bytes[0] = static_cast<std::byte>(message.kind);
  std::memcpy(&bytes[kNumberOffset], &message.call_id, sizeof(message.call_id));
  return bytes;
}

std::optional<ControlMessage> DecodeControl(const ControlBytes& bytes) {
  ControlMessage message{.kind = static_cast<ControlMessage::Kind>(bytes[0])};
  std::memcpy(&message.call_id, &bytes[kNumberOffset], sizeof(message.call_id));
  switch (message.kind) {
    case ControlMessage::Kind::kCancel:
    case ControlMessage::Kind::kGoAway:
    case ControlMessage::Kind::kPing:
    case ControlMessage::Kind::kPong:
    case ControlMessage::Kind::kRing:
      return message;
  }
  return std::nullopt;
}

}  // namespace nearcall::transport
