// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace nearcall::tools {

Look Look::OfOutput() {
  const char* const no_colour = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  Look look;
  look.terminal = ::isatty(STDOUT_FILENO) == 1;
  look.colour = look.terminal && (no_colour == nullptr || *no_colour == '\0') && terminal != nullptr &&
                std::strcmp(terminal, "dumb") != 0;
  return look;
}

std::string Look::Bold(const std::string& text) const {
  return colour ? absl::StrCat("\033[1m", text, "\033[0m") : text;
}

std::string Table::Text(const Look& look) const {
  return look.terminal ? Lines(look) : Fields();
}

std::string Table::Lines(const Look& look) const {
  std::vector<std::string> head;
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    head.push_back(columns_[i].head);
    size_t width = columns_[i].head.size();
    for (const std::vector<std::string>& row : rows_) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  std::string text = absl::StrCat(look.Bold(Line(head, widths)), "\n");
  for (const std::vector<std::string>& row : rows_) absl::StrAppend(&text, Line(row, widths), "\n");
  return text;
}

std::string Table::Line(const std::vector<std::string>& row, const std::vector<size_t>& widths) const {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    const std::string blanks(widths[i] - row[i].size(), ' ');
    if (i != 0) line += "  ";
    line += columns_[i].numbers ? blanks + row[i] : row[i] + blanks;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string Table::Fields() const {
  std::string text;
  for (const std::vector<std::string>& row : rows_) {
    absl::StrAppend(&text, kind_, kind_.empty() ? "" : "\t", absl::StrJoin(row, "\t"), "\n");
  }
  return text;
}

}  // namespace nearcall::tools
