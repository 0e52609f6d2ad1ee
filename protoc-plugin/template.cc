// SPDX-License-Identifier: Apache-2.0
#include "template.h"

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace nearcall::plugin {

namespace {

[[noreturn]] void Bug(absl::string_view what, absl::string_view line) {
  std::fputs(absl::StrCat("protoc-gen-nearcall: bug: ", what, " in the template line: ", line, "\n").c_str(), stderr);
  std::abort();
}

const std::string& ValueOf(absl::string_view name, const Values& values, absl::string_view line) {
  const auto found = values.find(std::string(name));
  if (found == values.end()) Bug(absl::StrCat("no value for $", name, "$"), line);
  return found->second;
}

// `name` if `line` is `$name$` and nothing else but indentation; else empty.
absl::string_view BlockName(absl::string_view line) {
  absl::string_view name = absl::StripAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&name, "$") || !absl::ConsumeSuffix(&name, "$")) return {};
  return name.find('$') == absl::string_view::npos ? name : absl::string_view();
}

absl::string_view WithoutLineBreaksAtEnd(absl::string_view text) {
  while (absl::ConsumeSuffix(&text, "\n")) {
  }
  return text;
}

void AppendBlock(absl::string_view indentation, absl::string_view block, std::string& out) {
  for (absl::string_view line : absl::StrSplit(block, '\n')) {
    absl::StrAppend(&out, line.empty() ? "" : indentation, line, "\n");
  }
}

void AppendLine(absl::string_view line, const Values& values, std::string& out) {
  // Text and names take turns: "a $b$ c" is {"a ", "b", " c"}.
  const std::vector<absl::string_view> parts = absl::StrSplit(line, '$');
  if (parts.size() % 2 == 0) Bug("an odd number of $", line);
  for (size_t i = 0; i < parts.size(); ++i) {
    const absl::string_view part = i % 2 == 0 ? parts[i] : absl::string_view(ValueOf(parts[i], values, line));
    if (part.find('\n') != absl::string_view::npos) Bug("a value of several lines", line);
    absl::StrAppend(&out, part);
  }
  out.push_back('\n');
}

}  // namespace

std::string Fill(absl::string_view text, const Values& values) {
  std::string out;
  bool skip_blank = false;
  text = absl::StripSuffix(absl::StripPrefix(text, "\n"), "\n");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (std::exchange(skip_blank, false) && line.empty()) continue;
    const absl::string_view name = BlockName(line);
    if (name.empty()) {
      AppendLine(line, values, out);
      continue;
    }
    const absl::string_view block = WithoutLineBreaksAtEnd(ValueOf(name, values, line));
    skip_blank = block.empty();
    if (!block.empty()) AppendBlock(line.substr(0, line.find('$')), block, out);
  }
  return out;
}

}  // namespace nearcall::plugin
