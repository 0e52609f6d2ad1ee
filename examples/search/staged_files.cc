// SPDX-License-Identifier: Apache-2.0
#include "staged_files.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace search {

namespace {

// What an empty file costs: a server that counts texts only can be filled with paths.
constexpr size_t kBytesPerFile = 128;

}  // namespace

absl::Status StagedFiles::Take(v1::UploadPiece& piece) {
  const bool begins = !piece.path().empty();
  if (begins && !path_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(piece.path(), " begins before ", path_, " is whole"));
  }
  if (!begins && path_.empty()) return absl::InvalidArgumentError("a piece of no file: the first one has a path");

  const size_t bytes = piece.text().size() + (begins ? piece.path().size() + kBytesPerFile : 0);
  if (!room_.Take(bytes)) {
    return absl::ResourceExhaustedError(absl::StrCat("no room for this upload at ", begins ? piece.path() : path_,
                                                     ": all uploads together may have ", room_.bytes(), " bytes"));
  }
  taken_ += bytes;
  if (begins) path_ = std::move(*piece.mutable_path());
  text_ += piece.text();
  if (piece.last()) whole_.insert_or_assign(std::exchange(path_, {}), std::exchange(text_, {}));
  return absl::OkStatus();
}

absl::StatusOr<Index::Texts> StagedFiles::Finish() {
  if (!path_.empty()) return absl::InvalidArgumentError(absl::StrCat("the upload ends before ", path_, " is whole"));
  return std::exchange(whole_, {});
}

}  // namespace search
