// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace google::protobuf {
class Message;
}

namespace nearcall::tools {

// protobuf's mapping to JSON (https://protobuf.dev/programming-guides/json/).
struct JsonStyle {
  bool indented = false;
  bool defaults = false;  // fields that have their default, too
};

// INVALID_ARGUMENT: the text is no such message.
absl::Status FromJson(const std::string& json, google::protobuf::Message& message);
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, const JsonStyle& style);
// UTF-8, as a string of JSON: with its quotes.
std::string JsonString(const std::string& text);

}  // namespace nearcall::tools
