// SPDX-License-Identifier: Apache-2.0
#include "source_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace nearcall::tidy {

namespace {

namespace fs = std::filesystem;

bool IsLeftOut(const fs::path& relative) {
  const std::string path = relative.string();
  const std::string name = relative.filename().string();
  return name == ".git" || name == ".cache" || absl::StartsWith(path, "build") || path == "tests/golden/goldens";
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Walks through C++ and blanks what is no code.
class Blanker {
 public:
  explicit Blanker(absl::string_view text) : in_(text), out_(text) {}

  std::string Run() {
    while (at_ < in_.size()) {
      if (Ahead("//")) {
        BlankTo(in_.find('\n', at_));
      } else if (Ahead("/*")) {
        BlankTo(EndOf("*/", at_ + 2));
      } else if (Ahead("R\"") && !IsWordByte(at_ - 1)) {
        BlankRawString();
      } else if (in_[at_] == '"' || (in_[at_] == '\'' && !IsWordByte(at_ - 1))) {  // 1'000 is a number
        BlankLiteral(in_[at_]);
      } else {
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  bool Ahead(absl::string_view what) const { return in_.substr(at_, what.size()) == what; }
  bool IsWordByte(size_t at) const { return at < in_.size() && (std::isalnum(in_[at]) != 0 || in_[at] == '_'); }

  size_t EndOf(absl::string_view what, size_t from) const {
    const size_t found = in_.find(what, from);
    return found == absl::string_view::npos ? in_.size() : found + what.size();
  }

  void BlankTo(size_t end) {
    for (end = std::min(end, in_.size()); at_ < end; ++at_) {
      if (in_[at_] != '\n') out_[at_] = ' ';
    }
  }

  void BlankRawString() {
    const size_t open = std::min(in_.find('(', at_), in_.size());
    const std::string close = absl::StrCat(")", in_.substr(at_ + 2, open - at_ - 2), "\"");
    BlankTo(EndOf(close, open));
  }

  void BlankLiteral(char quote) {
    size_t end = at_ + 1;
    while (end < in_.size() && in_[end] != quote && in_[end] != '\n') end += in_[end] == '\\' ? 2 : 1;
    ++at_;
    BlankTo(end);
    ++at_;
  }

  absl::string_view in_;
  std::string out_;
  size_t at_ = 0;
};

}  // namespace

bool SourceFile::IsUnder(absl::string_view folder) const {
  return absl::StartsWith(path, folder);
}

bool SourceFile::HasExtension(absl::string_view extension) const {
  return absl::EndsWith(path, extension);
}

std::vector<std::string> SourceFile::Lines() const {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::string CodeOnly(absl::string_view text) {
  return Blanker(text).Run();
}

std::string WithoutDirectives(std::string code) {
  std::vector<std::string> lines = absl::StrSplit(code, '\n');
  bool continues = false;
  for (std::string& line : lines) {
    const bool directive = continues || absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "#");
    continues = directive && absl::EndsWith(line, "\\");
    if (directive) line.clear();
  }
  return absl::StrJoin(lines, "\n");
}

std::vector<SourceFile> ReadProject(const std::string& root) {
  std::vector<SourceFile> files;
  for (fs::recursive_directory_iterator entry(root), end; entry != end; ++entry) {
    const fs::path relative = fs::relative(entry->path(), root);
    if (IsLeftOut(relative)) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file()) {
      std::string text = ReadFile(entry->path());
      if (!absl::StrContains(text, '\0')) files.push_back({relative.string(), std::move(text)});
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

}  // namespace nearcall::tidy
