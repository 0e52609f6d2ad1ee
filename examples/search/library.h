// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "index.h"
#include "tree.h"

namespace search {

// Keeps an index in step with directory trees. Thread-safe; one reading at a time, searches go on meanwhile.
class Library {
 public:
  struct Reading {
    size_t indexed = 0;
    size_t removed = 0;  // files that an earlier reading found and this one did not
    size_t skipped = 0;
    std::vector<std::string> incomplete_trees;  // larger than TreeLimits::max_total_bytes
  };

  // `index` outlives the library.
  Library(std::vector<std::string> roots, TreeLimits limits, Index& index);

  // Asked at each file whether to go on.
  using GoOn = std::function<bool(absl::string_view path)>;

  // Reads every tree. If `go_on` says no it ends with CANCELLED, and what was indexed before stays.
  absl::StatusOr<Reading> Read(const GoOn& go_on);

 private:
  absl::Status ReadTrees(const GoOn& go_on, Reading& reading, std::set<std::string>& seen);

  const std::vector<std::string> roots_;
  const TreeLimits limits_;
  Index& index_;

  std::mutex reading_;
  std::set<std::string> known_;  // what earlier readings found; guarded by reading_
};

}  // namespace search
