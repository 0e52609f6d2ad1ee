// SPDX-License-Identifier: Apache-2.0
#include "comments.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace nearcall::plugin {

namespace {

constexpr uint32_t kNoCharacter = 0xffff'ffff;

bool IsContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Takes the first character of `text`, which is not empty, off it; or, where there is none, a byte.
uint32_t TakeCharacter(absl::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  if (first < 0x80) return first;
  const size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  uint32_t character = first & (0x3fu >> more);
  if (first < 0xc2 || first > 0xf4 || text.size() < more) return kNoCharacter;
  for (size_t i = 0; i < more; ++i) {
    if (!IsContinuation(text[i])) return kNoCharacter;
    character = character << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  }
  constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
  const bool surrogate = character >= 0xd800 && character <= 0xdfff;
  if (character < kSmallest[more] || character > 0x10ffff || surrogate) return kNoCharacter;
  text.remove_prefix(more);
  return character;
}

bool IsObeyed(uint32_t c) {
  const bool control = (c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0);
  const bool mark = c == 0x061c || c == 0x200e || c == 0x200f;
  const bool embedding_or_line_end = c >= 0x2028 && c <= 0x202e;
  const bool isolate = c >= 0x2066 && c <= 0x2069;
  return control || mark || embedding_or_line_end || isolate;
}

std::string CommentLine(absl::string_view text) {
  const std::string visible = Visible(absl::StripTrailingAsciiWhitespace(text));
  if (visible.empty()) return "//\n";
  // SUBTLE: a backslash at its end (or `??/`, to an old compiler) would make the next line of code part of the comment.
  const bool would_continue = absl::EndsWith(visible, "\\") || absl::EndsWith(visible, "?\?/");
  return absl::StrCat("//", visible.front() == ' ' ? "" : " ", visible, would_continue ? " //" : "", "\n");
}

}  // namespace

std::string Visible(absl::string_view text) {
  std::string visible;
  while (!text.empty()) {
    const absl::string_view before = text;
    const uint32_t character = TakeCharacter(text);
    if (character == kNoCharacter) {
      absl::StrAppend(&visible, "\xef\xbf\xbd");
    } else if (IsObeyed(character)) {
      absl::StrAppend(&visible, "<U+", absl::AsciiStrToUpper(absl::StrCat(absl::Hex(character, absl::kZeroPad4))), ">");
    } else {
      absl::StrAppend(&visible, before.substr(0, before.size() - text.size()));
    }
  }
  return visible;
}

std::string CommentLines(absl::string_view text) {
  text = absl::StripTrailingAsciiWhitespace(text);
  if (text.empty()) return "";
  std::string lines;
  // A lone carriage return ends a line for some tools and not for others.
  const std::string unix_text = absl::StrReplaceAll(text, {{"\r\n", "\n"}});
  for (absl::string_view line : absl::StrSplit(unix_text, absl::ByAnyChar("\n\r\f\v"))) {
    absl::StrAppend(&lines, CommentLine(line));
  }
  return lines;
}

}  // namespace nearcall::plugin
