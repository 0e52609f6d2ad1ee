// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include <utility>

namespace search {

Library::Library(std::vector<std::string> roots, TreeLimits limits, Index& index)
    : roots_(std::move(roots)), limits_(std::move(limits)), index_(index) {}

absl::StatusOr<Library::Reading> Library::Read(const GoOn& go_on) {
  const std::lock_guard lock(reading_);
  Reading reading;
  std::set<std::string> seen;
  const absl::Status status = ReadTrees(go_on, reading, seen);
  if (status.ok()) {
    for (const std::string& path : known_) {
      if (!seen.contains(path) && index_.Remove(path)) ++reading.removed;
    }
    known_.clear();
  }
  known_.merge(seen);
  if (!status.ok()) return status;
  return reading;
}

absl::Status Library::ReadTrees(const GoOn& go_on, Reading& reading, std::set<std::string>& seen) {
  const auto put = [&](const std::string& path, const std::string& text) -> absl::Status {
    if (!go_on(path)) return absl::CancelledError("nobody waits for the trees to be read any more");
    seen.insert(path);
    return index_.Put(path, text).status();
  };
  for (const std::string& root : roots_) {
    const absl::StatusOr<TreeSummary> tree = ReadTree(root, limits_, put);
    if (!tree.ok()) return tree.status();
    reading.indexed += tree->files;
    reading.skipped += tree->skipped;
    if (!tree->complete) reading.incomplete_trees.push_back(root);
  }
  return absl::OkStatus();
}

}  // namespace search
