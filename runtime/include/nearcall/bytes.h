// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "nearcall/export.h"

namespace google::protobuf {
class MessageLite;
}

namespace nearcall {

// A message that nobody here looks at: its bytes, as they travel. Of generic calls (nearcall/generic.h), where it
// stands in the place of a message of protobuf: `ClientReader<Bytes>`. What it holds need not be a message of protobuf
// at all.
//
//   nearcall::Bytes request(proto.SerializeAsString());
//   proto.ParseFromString(reply->str());
//
// A value: copies have bytes of their own. Not synchronised.
class NEARCALL_EXPORT Bytes final {
 public:
  Bytes();
  explicit Bytes(std::string bytes);
  Bytes(const Bytes& other);
  Bytes(Bytes&& other) noexcept;
  Bytes& operator=(const Bytes& other);
  Bytes& operator=(Bytes&& other) noexcept;
  ~Bytes();

  const std::string& str() const;
  std::string& str();

  // As the runtime sees it.
  operator google::protobuf::MessageLite&();              // NOLINT(google-explicit-constructor)
  operator const google::protobuf::MessageLite&() const;  // NOLINT(google-explicit-constructor)

 private:
  std::unique_ptr<google::protobuf::MessageLite> message_;  // null: empty
};

}  // namespace nearcall
