// SPDX-License-Identifier: Apache-2.0
#include "template.h"

#include <gtest/gtest.h>

namespace nearcall::plugin {
namespace {

TEST(TemplateTest, FillsInsideALine) {
  EXPECT_EQ(Fill("a $x$$y$ b\n", {{"x", "1"}, {"y", "2"}}), "a 12 b\n");
}

TEST(TemplateTest, DropsTheLineBreakAfterTheQuote) {
  EXPECT_EQ(Fill(R"(
one
)",
                 {}),
            "one\n");
}

TEST(TemplateTest, IndentsEachLineOfABlockButNoBlankOne) {
  EXPECT_EQ(Fill("{\n  $x$\n}", {{"x", "a\n\n  b"}}), "{\n  a\n\n    b\n}\n");
}

TEST(TemplateTest, LineBreaksAtTheEndOfABlockDoNotCount) {
  EXPECT_EQ(Fill("$x$\nend", {{"x", "a\n\n"}}), "a\nend\n");
}

TEST(TemplateTest, AnEmptyBlockTakesItsLineAndABlankOneBehindItAway) {
  EXPECT_EQ(Fill("a\n  $x$\n\nb", {{"x", ""}}), "a\nb\n");
  EXPECT_EQ(Fill("a\n  $x$\nb\n\nc", {{"x", ""}}), "a\nb\n\nc\n");
}

TEST(TemplateTest, DollarsOfAValueStayAsTheyAre) {
  EXPECT_EQ(Fill("$x$\n- $x$", {{"x", "$y$"}}), "$y$\n- $y$\n");
}

TEST(TemplateDeathTest, EndsTheProgramForABugInATemplate) {
  EXPECT_DEATH(Fill("$nope$ x", {}), R"(no value for \$nope\$)");
  EXPECT_DEATH(Fill("$nope$", {}), R"(no value for \$nope\$)");
  EXPECT_DEATH(Fill("a $x b", {{"x", ""}}), "odd number");
  EXPECT_DEATH(Fill("a $x$ b", {{"x", "1\n2"}}), "several lines");
}

}  // namespace
}  // namespace nearcall::plugin
