// SPDX-License-Identifier: Apache-2.0
#include "tree.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace search {

namespace {

namespace fs = std::filesystem;

// Adds the files of one directory to `files` and its directories to `pending`.
std::error_code List(const fs::path& directory, const TreeLimits& limits, std::vector<std::string>& files,
                     std::vector<fs::path>& pending) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(".")) continue;
    std::error_code gone;  // a file that vanishes meanwhile is of no type
    const fs::file_type type = entry->symlink_status(gone).type();
    if (type == fs::file_type::regular) {
      files.push_back(entry->path().string());
    } else if (type == fs::file_type::directory && !absl::c_linear_search(limits.skipped_directories, name)) {
      pending.push_back(entry->path());
    }
  }
  return error;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListTree(const std::string& root, const TreeLimits& limits) {
  std::vector<std::string> files;
  std::vector<fs::path> pending;
  if (std::error_code error = List(root, limits, files, pending)) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot read the directory ", root));
  }
  while (!pending.empty()) {
    const fs::path directory = std::move(pending.back());
    pending.pop_back();
    (void)List(directory, limits, files, pending);
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot read ", path));
  if (size > max_bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is too large: ", size, " bytes, at most ", max_bytes, " are read"));
  }
  std::string text(size, '\0');
  file.read(text.data(), static_cast<std::streamsize>(size));
  if (file.bad()) return absl::UnavailableError(absl::StrCat("cannot read ", path));
  text.resize(static_cast<size_t>(file.gcount()));
  if (absl::StrContains(text, '\0')) return absl::FailedPreconditionError(absl::StrCat(path, " is no text file"));
  return text;
}

absl::StatusOr<TreeSummary> ReadTree(const std::string& root, const TreeLimits& limits,
                                     absl::FunctionRef<absl::Status(const std::string& path, std::string text)> visit) {
  const absl::StatusOr<std::vector<std::string>> files = ListTree(root, limits);
  if (!files.ok()) return files.status();
  TreeSummary summary;
  for (const std::string& path : *files) {
    absl::StatusOr<std::string> text = ReadTextFile(path, limits.max_file_bytes);
    if (!text.ok()) {
      ++summary.skipped;
      continue;
    }
    if (summary.bytes + text->size() > limits.max_total_bytes) {
      summary.complete = false;
      break;
    }
    ++summary.files;
    summary.bytes += text->size();
    if (absl::Status status = visit(path, *std::move(text)); !status.ok()) return status;
  }
  return summary;
}

}  // namespace search
