// SPDX-License-Identifier: Apache-2.0
#include "printable.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace nearcall::tools {

namespace {

constexpr uint32_t kNone = 0xffffffff;

struct Decoded {
  uint32_t point;  // kNone: these bytes are no UTF-8
  size_t size;
};

uint8_t At(absl::string_view text, size_t index) {
  return index < text.size() ? static_cast<uint8_t>(text[index]) : 0;
}

// The first character of `text`, which is not empty.
Decoded DecodeFirst(absl::string_view text) {
  const uint8_t first = At(text, 0);
  if (first < 0x80) return {first, 1};
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return {kNone, 1};
  uint32_t point = first & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((At(text, i) & 0xc0) != 0x80) return {kNone, 1};
    point = point << 6 | (At(text, i) & 0x3f);
  }
  const bool overlong = (size == 3 && point < 0x800) || (size == 4 && point < 0x10000);
  const bool surrogate = point >= 0xd800 && point < 0xe000;
  return overlong || surrogate || point > 0x10ffff ? Decoded{kNone, 1} : Decoded{point, size};
}

bool IsPrintable(uint32_t point) {
  if (point == kNone || point < 0x20 || (point >= 0x7f && point < 0xa0)) return false;
  const bool turns = point == 0x200e || point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
                     (point >= 0x2066 && point <= 0x2069);
  return !turns;
}

void AppendEscaped(absl::string_view bytes, std::string& to) {
  for (const char byte : bytes) {
    if (byte == '\n') {
      to += "\\n";
    } else if (byte == '\t') {
      to += "\\t";
    } else {
      absl::StrAppendFormat(&to, "\\x%02x", static_cast<uint8_t>(byte));
    }
  }
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string printable;
  while (!text.empty()) {
    const Decoded decoded = DecodeFirst(text);
    const absl::string_view bytes = text.substr(0, decoded.size);
    if (IsPrintable(decoded.point)) {
      absl::StrAppend(&printable, bytes);
    } else {
      AppendEscaped(bytes, printable);
    }
    text.remove_prefix(decoded.size);
  }
  return printable;
}

}  // namespace nearcall::tools
