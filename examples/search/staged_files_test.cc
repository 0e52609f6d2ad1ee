// SPDX-License-Identifier: Apache-2.0
#include "staged_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace search {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr size_t kRoom = 1000;

class StagedFilesTest : public ::testing::Test {
 protected:
  static absl::Status Take(StagedFiles& files, const std::string& path, const std::string& text, bool last) {
    v1::UploadPiece piece;
    piece.set_path(path);
    piece.set_text(text);
    piece.set_last(last);
    return files.Take(piece);
  }

  StagingRoom room_{kRoom};
  StagedFiles files_{room_};
};

TEST_F(StagedFilesTest, PutsPiecesTogether) {
  EXPECT_TRUE(Take(files_, "/a", "one ", false).ok());
  EXPECT_TRUE(Take(files_, "", "two", true).ok());
  EXPECT_TRUE(Take(files_, "/empty", "", true).ok());
  EXPECT_THAT(*files_.Finish(), ElementsAre(Pair("/a", "one two"), Pair("/empty", "")));
}

TEST_F(StagedFilesTest, RefusesPiecesOfNoFile) {
  EXPECT_EQ(Take(files_, "", "text", true).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StagedFilesTest, RefusesAFileThatBeginsInAnother) {
  EXPECT_TRUE(Take(files_, "/a", "text", false).ok());
  EXPECT_THAT(std::string(Take(files_, "/b", "text", true).message()), HasSubstr("/b begins before /a is whole"));
}

TEST_F(StagedFilesTest, RefusesAnEndWithinAFile) {
  EXPECT_TRUE(Take(files_, "/a", "text", true).ok());
  EXPECT_TRUE(Take(files_, "/b", "te", false).ok());
  EXPECT_THAT(std::string(files_.Finish().status().message()), HasSubstr("before /b is whole"));
}

TEST_F(StagedFilesTest, AllOfThemShareTheRoomAndGiveItBack) {
  {
    StagedFiles others(room_);
    EXPECT_TRUE(Take(others, "/a", std::string(kRoom / 2, '.'), true).ok());
    const absl::Status refused = Take(files_, "/b", std::string(kRoom / 2, '.'), true);
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("/b"));
  }
  EXPECT_TRUE(Take(files_, "/b", std::string(kRoom / 2, '.'), true).ok());
}

TEST_F(StagedFilesTest, CountsEmptyFiles) {
  absl::Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = Take(files_, std::to_string(i), "", true);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace search
