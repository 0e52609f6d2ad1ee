// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "progress_bar.h"
#include "search.nearcall.pb.h"
#include "tree.h"

namespace search {

// What an upload is to send.
struct FileList {
  std::vector<std::string> paths = {};
  uint64_t bytes = 0;                 // of all of them, as far as they can be read
  bool leave_out_unreadable = false;  // false: one that cannot be read, or is no text, ends the upload
  bool complete = true;               // false: a tree had more than `max_total_bytes`
};

FileList ListFiles(std::vector<std::string> paths);

// NOT_FOUND if there is none.
absl::StatusOr<FileList> ListTextFiles(const std::string& root, const TreeLimits& limits);

// Sends the files in pieces. The server takes all of them or, if this ends with an error, none.
absl::StatusOr<v1::UploadReply> Upload(const v1::Search::Stub& stub, const FileList& files, size_t max_file_bytes,
                                       ProgressBar& progress, const nearcall::CallOptions& options);

// The server knows a file by its absolute path, from wherever it is added.
std::string AbsolutePath(const std::string& path);

}  // namespace search
