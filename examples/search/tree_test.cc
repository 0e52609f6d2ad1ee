// SPDX-License-Identifier: Apache-2.0
#include "tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temporary_tree.h"

namespace search {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TreeTest : public ::testing::Test {
 protected:
  // The names of the files that a walk visits, in its order.
  std::vector<std::string> Visit(const TreeLimits& limits = {}) {
    std::vector<std::string> names;
    const auto summary = ReadTree(tree_.root(), limits, [&](const std::string& path, const std::string&) {
      names.push_back(path.substr(tree_.root().size() + 1));
      return absl::OkStatus();
    });
    EXPECT_TRUE(summary.ok()) << summary.status();
    summary_ = *summary;
    return names;
  }

  TemporaryTree tree_;
  TreeSummary summary_;
};

TEST_F(TreeTest, VisitsFilesInOrderOfTheirPaths) {
  for (const char* name : {"b", "a/2", "a/1", "c/deep/er"}) tree_.Write(name, "text");
  EXPECT_THAT(Visit(), ElementsAre("a/1", "a/2", "b", "c/deep/er"));
  EXPECT_EQ(summary_.files, 4u);
  EXPECT_EQ(summary_.bytes, 16u);
}

TEST_F(TreeTest, LeavesOutHiddenSkippedAndLinkedOnes) {
  for (const char* name : {".git/config", ".hidden", "build/x", "kept"}) tree_.Write(name, "text");
  std::filesystem::create_symlink(tree_.root(), tree_.Path("loop"));
  std::filesystem::create_symlink(tree_.Path("kept"), tree_.Path("link"));
  EXPECT_THAT(Visit(), ElementsAre("kept"));
}

TEST_F(TreeTest, CountsWhatIsBinaryOrTooLarge) {
  tree_.Write("binary", absl::string_view("\x7f"
                                          "ELF\0",
                                          5));
  tree_.Write("large", "0123456789");
  tree_.Write("text", "012345678");
  EXPECT_THAT(Visit({.max_file_bytes = 9}), ElementsAre("text"));
  EXPECT_EQ(summary_.skipped, 2u);
}

TEST_F(TreeTest, EndsAtTheLimitAndSaysSo) {
  for (const char* name : {"a", "b", "c"}) tree_.Write(name, "1234");
  EXPECT_THAT(Visit({.max_total_bytes = 8}), ElementsAre("a", "b"));
  EXPECT_FALSE(summary_.complete);
}

TEST_F(TreeTest, NamesARootThatCannotBeRead) {
  const auto never = [](const std::string&, const std::string&) { return absl::InternalError("visited"); };
  const absl::Status status = ReadTree(tree_.Path("missing"), {}, never).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(tree_.Path("missing")));
}

TEST_F(TreeTest, EndsWithTheErrorOfItsVisitor) {
  tree_.Write("a", "text");
  const auto fail = [](const std::string&, const std::string&) { return absl::CancelledError("enough"); };
  EXPECT_EQ(ReadTree(tree_.root(), {}, fail).status().message(), "enough");
}

TEST_F(TreeTest, ReadsAFileWhole) {
  tree_.Write("a", "two\nlines");
  EXPECT_EQ(*ReadTextFile(tree_.Path("a"), 100), "two\nlines");
  EXPECT_THAT(std::string(ReadTextFile(tree_.Path("a"), 3).status().message()), HasSubstr("too large"));
  EXPECT_FALSE(ReadTextFile(tree_.Path("b"), 100).ok());
}

}  // namespace
}  // namespace search
