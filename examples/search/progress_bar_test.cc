// SPDX-License-Identifier: Apache-2.0
#include "progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace search {
namespace {

using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(ProgressBarTest, ShowsItsShareAndIsGoneAtTheEnd) {
  std::ostringstream terminal;
  {
    ProgressBar bar(&terminal, 4 << 20);
    bar.Advance(2 << 20, "/usr/include/stdio.h");
    EXPECT_THAT(terminal.str(), ContainsRegex("\\[#{15}-{15}\\]  50 %  2.0 MiB  /usr/include/stdio.h"));
  }
  EXPECT_THAT(terminal.str(), EndsWith("\r\x1b[K"));
}

TEST(ProgressBarTest, GivesATerminalNoCommandsOfAPath) {
  std::ostringstream terminal;
  ProgressBar bar(&terminal, 0);
  bar.Advance(0, std::string(200, 'x') + "\x1b[2J");
  EXPECT_THAT(terminal.str(), HasSubstr("x?[2J"));
  EXPECT_LT(terminal.str().size(), 90u) << "more would break the line";
}

TEST(ProgressBarTest, ShowsNothingWithoutATerminal) {
  ProgressBar bar(nullptr, 10);
  bar.Advance(5, "file");
}

}  // namespace
}  // namespace search
