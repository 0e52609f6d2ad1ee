// SPDX-License-Identifier: Apache-2.0
#include "nearcall/metadata.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace nearcall {

namespace {

bool IsKeyCharacter(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
         c == '_' || c == '-' || c == '.';
}

bool IsPrintable(char c) {
  return absl::ascii_isprint(static_cast<unsigned char>(c));
}

// A key as a message may show it: short, and printable whatever it holds.
std::string Shown(absl::string_view key) {
  constexpr size_t kShownSize = 64;
  return absl::StrCat("\"", absl::CHexEscape(key.substr(0, kShownSize)), key.size() > kShownSize ? "...\"" : "\"");
}

absl::Status ValidateEntry(absl::string_view key, absl::string_view value) {
  if (key.empty()) return absl::InvalidArgumentError("metadata has an empty key");
  if (!std::all_of(key.begin(), key.end(), IsKeyCharacter)) {
    return absl::InvalidArgumentError(absl::StrCat("metadata key ", Shown(key), " is not made of 0-9 a-z _ - . only"));
  }
  if (absl::EndsWith(key, "-bin")) return absl::OkStatus();
  const auto bad = std::find_if_not(value.begin(), value.end(), IsPrintable);
  if (bad == value.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the metadata value of ", Shown(key),
                                                 " is not printable ASCII at offset ", bad - value.begin(),
                                                 "; for bytes the key must end in -bin"));
}

}  // namespace

std::optional<absl::string_view> Metadata::Get(absl::string_view key) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.first == key; });
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

absl::Status Metadata::Validate() const {
  for (const auto& [key, value] : entries_) {
    if (absl::Status status = ValidateEntry(key, value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace nearcall
