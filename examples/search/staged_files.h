// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index.h"
#include "search.nearcall.pb.h"
#include "staging_room.h"

namespace search {

// The files of one upload, until the last piece has come: the index gets all of them or none. Used by one thread.
class StagedFiles {
 public:
  // `room` outlives this, and gets back what this takes of it.
  explicit StagedFiles(StagingRoom& room) : room_(room) {}
  StagedFiles(const StagedFiles&) = delete;
  StagedFiles& operator=(const StagedFiles&) = delete;
  ~StagedFiles() { room_.GiveBack(taken_); }

  // RESOURCE_EXHAUSTED if there is no room; INVALID_ARGUMENT if a piece does not go with the one before.
  absl::Status Take(v1::UploadPiece& piece);

  // INVALID_ARGUMENT if a file has begun and is not whole. The texts count in the room until this ends.
  absl::StatusOr<Index::Texts> Finish();

 private:
  StagingRoom& room_;
  size_t taken_ = 0;
  Index::Texts whole_;
  std::string path_;  // of the file that has begun; empty: none
  std::string text_;
};

}  // namespace search
