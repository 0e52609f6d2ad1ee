// SPDX-License-Identifier: Apache-2.0
#include "metadata_flags.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "printable.h"

namespace nearcall::tools {

absl::StatusOr<Metadata> MetadataOf(const std::vector<std::string>& headers) {
  Metadata metadata;
  for (const std::string& header : headers) {
    const size_t colon = header.find(':');
    if (colon == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("-H \"", header, "\": expected \"name: value\""));
    }
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(header.substr(0, colon)));
    std::string value(absl::StripAsciiWhitespace(header.substr(colon + 1)));
    if (absl::EndsWith(name, "-bin")) {
      std::string bytes;
      if (!absl::Base64Unescape(value, &bytes)) {
        return absl::InvalidArgumentError(absl::StrCat("-H \"", header, "\": the value of a -bin name is base64"));
      }
      value = bytes;
    }
    metadata.Add(name, value);
  }
  if (absl::Status valid = metadata.Validate(); !valid.ok()) return valid;
  return metadata;
}

std::string ToText(const Metadata& metadata, const char* prefix) {
  std::string text;
  for (const auto& [key, value] : metadata) {
    absl::StrAppend(
        &text, prefix, Printable(key), ": ",
        absl::EndsWith(std::string(key), "-bin") ? absl::Base64Escape(std::string(value)) : Printable(value), "\n");
  }
  return text;
}

}  // namespace nearcall::tools
