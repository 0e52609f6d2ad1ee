// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace search {

struct TreeLimits {
  size_t max_file_bytes = size_t{1} << 20;    // larger ones are data more often than text
  size_t max_total_bytes = size_t{32} << 20;  // of one tree: the walk ends there
  std::vector<std::string> skipped_directories = {"build"};
};

struct TreeSummary {
  size_t files = 0;
  size_t bytes = 0;
  size_t skipped = 0;    // binary, too large, or unreadable
  bool complete = true;  // false: `max_total_bytes` was reached
};

// The text of a file. FAILED_PRECONDITION if it is larger than `max_bytes` or no text (it holds a zero byte).
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes);

// Reads the text files below the directory `root`, in order of their paths, and hands each to `visit`, whose error ends
// the walk. Left out are hidden files and directories, symbolic links (so each file counts once), and what cannot be
// read. An error if `root` itself cannot be read.
absl::StatusOr<TreeSummary> ReadTree(const std::string& root, const TreeLimits& limits,
                                     absl::FunctionRef<absl::Status(const std::string& path, std::string text)> visit);

}  // namespace search
