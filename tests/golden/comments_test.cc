// SPDX-License-Identifier: Apache-2.0
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

// Trojan Source: what a reviewer sees is what the compiler reads.
TEST(CommentsTest, WritesOutWhatTurnsTheDirectionOfText) {
  EXPECT_EQ(CommentLines(" a\u202eb"), "// a<U+202E>b\n");
  for (const char* c : {"\u061c", "\u200e", "\u200f", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066",
                        "\u2067", "\u2068", "\u2069"}) {
    EXPECT_EQ(CommentLines(c).substr(0, 6), "// <U+") << CommentLines(c);
  }
}

TEST(CommentsTest, WritesOutControlCharactersAndOtherLineEnds) {
  EXPECT_EQ(CommentLines(" a\x1b[2J"), "// a<U+001B>[2J\n");
  EXPECT_EQ(CommentLines(" a\u0085\u2028\u2029\x7f"), "// a<U+0085><U+2028><U+2029><U+007F>\n");
  EXPECT_EQ(CommentLines(absl::string_view(" a\0b", 4)), "// a<U+0000>b\n");
}

TEST(CommentsTest, OtherTextStays) {
  EXPECT_EQ(CommentLines(" \tgr\u00fc\u00df \u4f60\u597d \U0001f600"), "// \tgr\u00fc\u00df \u4f60\u597d \U0001f600\n");
}

TEST(CommentsTest, WhatIsNoTextIsReplaced) {
  EXPECT_EQ(CommentLines("a\xe4"), "// a\ufffd\n");                              // Latin-1
  EXPECT_EQ(CommentLines("\xc0\xaf"), "// \ufffd\ufffd\n");                      // too long for what it says
  EXPECT_EQ(CommentLines("\xed\xa0\x80"), "// \ufffd\ufffd\ufffd\n");            // half a pair
  EXPECT_EQ(CommentLines("\xe2\x80"), "// \ufffd\ufffd\n");                      // cut short
  EXPECT_EQ(CommentLines("\xf4\x90\x80\x80"), "// \ufffd\ufffd\ufffd\ufffd\n");  // beyond the last
}

}  // namespace
}  // namespace nearcall::plugin
