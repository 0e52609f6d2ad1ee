// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"

namespace nearcall::tools {

namespace {

#if GOOGLE_PROTOBUF_VERSION >= 4022000
using PrintOptions = google::protobuf::util::JsonPrintOptions;
#else
using PrintOptions = google::protobuf::util::JsonOptions;
#endif

void PrintDefaults(PrintOptions& options) {
#if GOOGLE_PROTOBUF_VERSION >= 5026000
  options.always_print_fields_with_no_presence = true;
#else
  options.always_print_primitive_fields = true;
#endif
}

// protobuf's own status is of another type before version 22.
absl::string_view TextOf(const auto& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace

absl::Status FromJson(const std::string& json, google::protobuf::Message& message) {
  message.Clear();
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &message);
  if (parsed.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("not a ", std::string(message.GetTypeName()), " in JSON: ", TextOf(parsed)));
}

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, const JsonStyle& style) {
  PrintOptions options;
  options.add_whitespace = style.indented;
  if (style.defaults) PrintDefaults(options);
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!printed.ok()) return absl::InternalError(absl::StrCat("cannot be shown as JSON: ", TextOf(printed)));
  while (!json.empty() && json.back() == '\n') json.pop_back();
  return json;
}

std::string JsonString(const std::string& text) {
  google::protobuf::Value value;
  value.set_string_value(text);
  return ToJson(value, {}).value_or("\"\"");
}

}  // namespace nearcall::tools
