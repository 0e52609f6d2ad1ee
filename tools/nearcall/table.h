// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace nearcall::tools {

// How what is printed looks.
struct Look {
  bool terminal = false;  // for people; else for programs: no heads, no units, fields between tabs
  bool colour = false;

  // Of standard output. No colour where NO_COLOR is set (https://no-color.org), or the terminal has none.
  static Look OfOutput();

  std::string Bold(const std::string& text) const;
};

// Rows of fields.
class Table {
 public:
  struct Column {
    std::string head;
    bool numbers = false;  // which stand below each other by their last digits
  };

  // `kind`: the first field of each row for a program, which tells tables of one output apart; may be empty.
  Table(std::string kind, std::vector<Column> columns) : kind_(std::move(kind)), columns_(std::move(columns)) {}

  // As many as there are columns.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }

  std::string Text(const Look& look) const;

 private:
  std::string Lines(const Look& look) const;
  std::string Fields() const;
  std::string Line(const std::vector<std::string>& row, const std::vector<size_t>& widths) const;

  const std::string kind_;
  const std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace nearcall::tools
