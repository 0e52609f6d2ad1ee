// SPDX-License-Identifier: Apache-2.0
#include "nearcall/bytes.h"

#include <utility>

#include "google/protobuf/message_lite.h"
#include "nearcall/bytes.pb.h"

namespace nearcall {

namespace {

const wire::Bytes& Empty() {
  static const wire::Bytes* const empty = new wire::Bytes();
  return *empty;
}

}  // namespace

Bytes::Bytes() = default;

Bytes::Bytes(std::string bytes) {
  str() = std::move(bytes);
}

Bytes::Bytes(Bytes&& other) noexcept = default;

Bytes& Bytes::operator=(Bytes&& other) noexcept = default;

Bytes::Bytes(const Bytes& other) {
  if (other.message_ != nullptr) str() = other.str();
}

Bytes& Bytes::operator=(const Bytes& other) {
  if (this != &other) str() = other.str();
  return *this;
}

Bytes::~Bytes() = default;

const std::string& Bytes::str() const {
  return message_ == nullptr ? Empty().unknown_fields() : static_cast<const wire::Bytes&>(*message_).unknown_fields();
}

std::string& Bytes::str() {
  if (message_ == nullptr) message_ = std::make_unique<wire::Bytes>();
  return *static_cast<wire::Bytes&>(*message_).mutable_unknown_fields();
}

Bytes::operator google::protobuf::MessageLite&() {
  if (message_ == nullptr) message_ = std::make_unique<wire::Bytes>();
  return *message_;
}

Bytes::operator const google::protobuf::MessageLite&() const {
  if (message_ == nullptr) return Empty();
  return *message_;
}

}  // namespace nearcall
