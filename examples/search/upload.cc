// SPDX-License-Identifier: Apache-2.0
#include "upload.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace search {

namespace {

using PieceWriter = nearcall::ClientWriter<v1::UploadPiece, v1::UploadReply>;

// Half of what a stream's writer may be ahead of its reader: one piece is on its way while the one before is read.
constexpr size_t kPieceBytes = size_t{32} << 10;

// 0: nobody can read it.
uint64_t SizeOf(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

// False: the call has ended, and Finish() says why.
bool SendFile(PieceWriter& upload, const std::string& path, absl::string_view text, ProgressBar& progress) {
  v1::UploadPiece piece;
  piece.set_path(AbsolutePath(path));
  do {
    const absl::string_view next = text.substr(0, kPieceBytes);
    text.remove_prefix(next.size());
    piece.set_text(next.data(), next.size());
    piece.set_last(text.empty());
    // Waits while the server has not read what has been sent: so the bar shows what has arrived, not what was read
    // here.
    if (!upload.Write(piece)) return false;
    piece.clear_path();
    progress.Advance(next.size(), path);
  } while (!text.empty());
  return true;
}

}  // namespace

std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  std::string absolute = std::filesystem::absolute(path, error).lexically_normal().string();
  return error ? path : absolute;
}

FileList ListFiles(std::vector<std::string> paths) {
  FileList files{.paths = std::move(paths)};
  for (const std::string& path : files.paths) files.bytes += SizeOf(path);
  return files;
}

absl::StatusOr<FileList> ListTextFiles(const std::string& root, const TreeLimits& limits) {
  absl::StatusOr<std::vector<std::string>> paths = ListTree(root, limits);
  if (!paths.ok()) return paths.status();
  FileList files{.leave_out_unreadable = true};
  for (std::string& path : *paths) {
    const uint64_t bytes = SizeOf(path);
    if (bytes > limits.max_file_bytes) continue;
    if (files.bytes + bytes > limits.max_total_bytes) {
      files.complete = false;
      break;
    }
    files.bytes += bytes;
    files.paths.push_back(std::move(path));
  }
  if (files.paths.empty()) return absl::NotFoundError(absl::StrCat("there is no text file in ", root));
  return files;
}

absl::StatusOr<v1::UploadReply> Upload(const v1::Search::Stub& stub, const FileList& files, size_t max_file_bytes,
                                       ProgressBar& progress, const nearcall::CallOptions& options) {
  const std::unique_ptr<PieceWriter> upload = stub.Upload(options);
  for (const std::string& path : files.paths) {
    const absl::StatusOr<std::string> text = ReadTextFile(path, max_file_bytes);
    if (!text.ok() && files.leave_out_unreadable) continue;
    // The end of `upload` cancels the call: the server keeps nothing.
    if (!text.ok()) return text.status();
    if (!SendFile(*upload, path, *text, progress)) break;
  }
  return upload->Finish();
}

}  // namespace search
