// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/control_message.h"

#include <bit>
#include <cstring>

namespace nearcall::transport {

namespace {

static_assert(std::endian::native == std::endian::little, "the layout is little-endian");

constexpr size_t kProgressOffset = 1;
constexpr size_t kRunningOffset = 2;
constexpr size_t kStartedOffset = 4;
constexpr size_t kNumberOffset = 8;

// Of the byte at kProgressOffset: the two numbers behind it count.
constexpr std::byte kSaysProgress{1};

template <typename Number>
void Put(ControlBytes& bytes, size_t offset, Number number) {
  std::memcpy(&bytes[offset], &number, sizeof(number));
}

template <typename Number>
void Get(const ControlBytes& bytes, size_t offset, Number& number) {
  std::memcpy(&number, &bytes[offset], sizeof(number));
}

}  // namespace

ControlBytes EncodeControl(const ControlMessage& message) {
  ControlBytes bytes{};
  bytes[0] = static_cast<std::byte>(message.kind);
  Put(bytes, kNumberOffset, message.call_id);
  if (message.progress.has_value()) {
    bytes[kProgressOffset] = kSaysProgress;
    Put(bytes, kRunningOffset, message.progress->handlers_running);
    Put(bytes, kStartedOffset, message.progress->handlers_started);
  }
  return bytes;
}

std::optional<ControlMessage> DecodeControl(const ControlBytes& bytes) {
  ControlMessage message{.kind = static_cast<ControlMessage::Kind>(bytes[0])};
  Get(bytes, kNumberOffset, message.call_id);
  switch (message.kind) {
    case ControlMessage::Kind::kCancel:
    case ControlMessage::Kind::kGoAway:
    case ControlMessage::Kind::kPing:
    case ControlMessage::Kind::kRing:
      return message;
    case ControlMessage::Kind::kPong:
      if (bytes[kProgressOffset] == kSaysProgress) {
        Progress& progress = message.progress.emplace();
        Get(bytes, kRunningOffset, progress.handlers_running);
        Get(bytes, kStartedOffset, progress.handlers_started);
      }
      return message;
  }
  return std::nullopt;
}

}  // namespace nearcall::transport
