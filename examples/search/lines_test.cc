// SPDX-License-Identifier: Apache-2.0
#include "lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

namespace search {
namespace {

using ::testing::ElementsAre;

class LinesTest : public ::testing::Test {
 protected:
  LinesTest() { EXPECT_EQ(::pipe(ends_), 0); }
  ~LinesTest() override {
    ::close(ends_[0]);
    CloseInput();
  }

  void Write(const std::string& text) const {
    ASSERT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void CloseInput() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

  int ends_[2];
};

TEST_F(LinesTest, AreRead) {
  Write("one\n\nlast");
  CloseInput();
  Lines lines(ends_[0], {});
  std::vector<std::string> read;
  for (std::string line; lines.Next(&line);) read.push_back(line);
  EXPECT_THAT(read, ElementsAre("one", "", "last"));
}

TEST_F(LinesTest, EndWhenSomebodyWantsToStop) {
  bool more = true;
  {
    const std::jthread reading([&](const std::stop_token& stop) {
      std::string line;
      more = Lines(ends_[0], stop).Next(&line);
    });
  }
  EXPECT_FALSE(more);
}

}  // namespace
}  // namespace search
