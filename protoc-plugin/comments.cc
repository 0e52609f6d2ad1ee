#include "comments.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace nearcall::plugin {

namespace {

std::string CommentLine(absl::string_view line) {
  line = absl::StripTrailingAsciiWhitespace(line);
  if (line.empty()) return "//\n";
  // SUBTLE: a backslash at its end (or `??/`, to an old compiler) would make the next line of code part of the comment.
  const bool would_continue = absl::EndsWith(line, "\\") || absl::EndsWith(line, "?\?/");
  return absl::StrCat("//", line.front() == ' ' ? "" : " ", line, would_continue ? " //" : "", "\n");
}

}  // namespace

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
