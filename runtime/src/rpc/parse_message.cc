// SPDX-License-Identifier: Apache-2.0
#include "rpc/parse_message.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "nearcall/bytes.pb.h"
#include "rpc/protobuf_log.h"

namespace nearcall::rpc {

namespace {

// protobuf lists every field that is missing, with its path: many times as much as the message itself, if that is made
// for it.
std::string MissingFields(const google::protobuf::MessageLite& message, size_t size) {
  if (size > base::kMaxSizeToExplain) return "";
  return absl::StrCat(": ", absl::string_view(message.InitializationErrorString()).substr(0, base::kMaxExplanation));
}

}  // namespace

absl::Status ParseMessage(absl::string_view what, absl::string_view method, std::span<const std::byte> bytes,
                          google::protobuf::MessageLite& message) {
  const ProtobufLog log;
  std::string why;
  if (!message.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    if (!log.text().empty()) why = absl::StrCat(": ", log.text());
  } else if (!message.IsInitialized()) {
    why = absl::StrCat(": required fields are missing", MissingFields(message, bytes.size()));
  } else {
    return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat(what, " ", method, " (", bytes.size(), " B) does not parse as ", message.GetTypeName(), why));
}

void TakeBytes(std::span<const std::byte> bytes, google::protobuf::MessageLite& message) {
  static_cast<wire::Bytes&>(message).mutable_unknown_fields()->assign(reinterpret_cast<const char*>(bytes.data()),
                                                                      bytes.size());
}

}  // namespace nearcall::rpc
