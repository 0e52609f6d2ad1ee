// SPDX-License-Identifier: Apache-2.0
#include "functions.h"

#include <algorithm>
#include <regex>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "source_file.h"

namespace nearcall::tidy {

namespace {

enum class Block { kScope, kFunction, kOther };

// What a block is, by what stands before its brace.
Block Classify(const std::string& head, bool inside_function) {
  if (inside_function) return Block::kOther;
  static const std::regex scope(
      R"(^\s*(template\s*<.*>\s*)?((inline|export)\s+)*(namespace|class|struct|union|enum|extern)\b)");
  if (std::regex_search(head, scope) && !absl::StrContains(head, ") ")) return Block::kScope;
  static const std::regex initializer(R"(=\s*$)");
  if (std::regex_search(head, initializer)) return Block::kOther;
  return absl::StrContains(head, ')') ? Block::kFunction : Block::kOther;
}

}  // namespace

std::vector<Function> FindFunctions(absl::string_view text) {
  struct Open {
    Block block;
    size_t first_line;
  };
  const std::string code = WithoutDirectives(CodeOnly(text));
  std::vector<Function> functions;
  std::vector<Open> open;
  size_t line = 1;
  std::string head;
  size_t head_line = 1;
  for (const char c : code) {
    if (c == '{') {
      const bool inside = std::any_of(open.begin(), open.end(), [](Open o) { return o.block == Block::kFunction; });
      open.push_back({Classify(head, inside), head_line});
    } else if (c == '}' && !open.empty()) {
      if (open.back().block == Block::kFunction)
        functions.push_back({open.back().first_line, line - open.back().first_line + 1});
      open.pop_back();
    }
    if (c == '{' || c == '}' || c == ';') {
      head.clear();
    } else if (!head.empty() || absl::ascii_isspace(static_cast<unsigned char>(c)) == 0) {
      if (head.empty()) head_line = line;
      head.push_back(c == '\n' ? ' ' : c);
    }
    if (c == '\n') ++line;
  }
  return functions;
}

}  // namespace nearcall::tidy
