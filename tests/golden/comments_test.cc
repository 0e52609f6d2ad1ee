#include "comments.h"

#include <gtest/gtest.h>

namespace nearcall::plugin {
namespace {

TEST(CommentsTest, CarriesLinesOver) {
  EXPECT_EQ(CommentLines(" One.\n\n   Two.\n"), "// One.\n//\n//   Two.\n");
}

TEST(CommentsTest, NothingStaysNothing) {
  EXPECT_EQ(CommentLines(""), "");
  EXPECT_EQ(CommentLines(" \n\n"), "");
}

TEST(CommentsTest, PutsABlankBeforeTextThatHasNone) {
  EXPECT_EQ(CommentLines("One."), "// One.\n");
}

TEST(CommentsTest, NoLineReachesTheNextOne) {
  EXPECT_EQ(CommentLines(" a \\\n b \\ \n c ?\?/\n"), "// a \\ //\n// b \\ //\n// c ?\?/ //\n");
}

TEST(CommentsTest, NoLineEndOfAnotherSystemReachesTheCode) {
  EXPECT_EQ(CommentLines(" a\r\n b\rint c;\n"), "// a\n// b\n// int c;\n");
}

}  // namespace
}  // namespace nearcall::plugin
