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

// Every file below the directory `root`, in order of their paths, but hidden ones, symbolic links (so each file counts
// once), and what `limits` skip. Directories that cannot be read are left out, except `root` itself.
absl::StatusOr<std::vector<std::string>> ListTree(const std::string& root, const TreeLimits& limits);

// Reads the text files below the directory `root`, as ListTree finds them, and hands each to `visit`, whose error ends
// the walk. What cannot be read is left out.
absl::StatusOr<TreeSummary> ReadTree(const std::string& root, const TreeLimits& limits,
                                     absl::FunctionRef<absl::Status(const std::string& path, std::string text)> visit);

}  // namespace search
