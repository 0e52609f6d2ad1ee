// SPDX-License-Identifier: Apache-2.0

// Every rule, for every file of the project.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "recipes.h"
#include "rules.h"

namespace nearcall::tidy {
namespace {

const std::vector<SourceFile>& Project() {
  static const std::vector<SourceFile> files = ReadProject(PROJECT_DIR);
  return files;
}

using Rule = Problems (*)(const SourceFile& file);

void ExpectInEachFile(Rule rule) {
  Problems all;
  for (const SourceFile& file : Project()) {
    const Problems problems = rule(file);
    all.insert(all.end(), problems.begin(), problems.end());
  }
  EXPECT_TRUE(all.empty()) << absl::StrJoin(all, "\n");
}

TEST(ProjectTest, IsFound) {
  EXPECT_GT(Project().size(), 50u);
}

TEST(ProjectTest, IncludesGoDown) {
  ExpectInEachFile(IncludesGoDown);
}
TEST(ProjectTest, HeadersHavePragmaOnce) {
  ExpectInEachFile(HeadersHavePragmaOnce);
}
TEST(ProjectTest, FilesAreShort) {
  ExpectInEachFile(FilesAreShort);
}
TEST(ProjectTest, FunctionsAreShort) {
  ExpectInEachFile(FunctionsAreShort);
}
TEST(ProjectTest, ClassesAreSmall) {
  ExpectInEachFile(ClassesAreSmall);
}
TEST(ProjectTest, LinesAreShort) {
  ExpectInEachFile(LinesAreShort);
}
TEST(ProjectTest, WordsAreAllowed) {
  ExpectInEachFile(WordsAreAllowed);
}
TEST(ProjectTest, DescriptorsAreOwned) {
  ExpectInEachFile(DescriptorsAreOwned);
}
TEST(ProjectTest, PathsAreOfTheProject) {
  ExpectInEachFile(PathsAreOfTheProject);
}
TEST(ProjectTest, FilesNameTheLicence) {
  ExpectInEachFile(FilesNameTheLicence);
}

TEST(ProjectTest, UnitTestsMirrorSources) {
  EXPECT_THAT(UnitTestsMirrorSources(Project()), ::testing::IsEmpty());
}

TEST(ProjectTest, TransportsAreFolders) {
  EXPECT_THAT(TransportsAreFolders(Project()), ::testing::IsEmpty());
}

TEST(ProjectTest, ReadmeShowsHello) {
  EXPECT_THAT(ReadmeShowsHello(Project()), ::testing::IsEmpty());
}

TEST(ProjectTest, DocumentedErrorsExist) {
  EXPECT_THAT(DocumentedErrorsExist(Project()), ::testing::IsEmpty());
}

TEST(ProjectTest, RecipesAgree) {
  EXPECT_THAT(RecipesAgree(Project()), ::testing::IsEmpty());
}

}  // namespace
}  // namespace nearcall::tidy
