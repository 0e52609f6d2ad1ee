// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace nearcall::tidy {

// One text file of the project. A value.
struct SourceFile {
  std::string path;  // from the project's root: "runtime/src/base/fd.h"
  std::string text;

  bool IsUnder(absl::string_view folder) const;  // "runtime/src/base/"
  bool HasExtension(absl::string_view extension) const;
  bool IsCpp() const { return HasExtension(".cc") || HasExtension(".h"); }
  std::vector<std::string> Lines() const;
};

// `text` with comments, and what stands in string and character literals, replaced by blanks. Line breaks stay.
std::string CodeOnly(absl::string_view text);

// `code` with the lines of the preprocessor blank.
std::string WithoutDirectives(std::string code);

// Every text file below `root` that people write: without version control, builds, and what golden tests compare with.
std::vector<SourceFile> ReadProject(const std::string& root);

}  // namespace nearcall::tidy
