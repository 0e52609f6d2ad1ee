// SPDX-License-Identifier: Apache-2.0
#include "decode.h"

#include <gtest/gtest.h>

#include <string>

namespace decoder {
namespace {

TEST(DecodeTest, RunsAndSkips) {
  const auto picture =
      Decode(std::string("\x03\x02r\x02"
                         "as\x01\0\0\0r\x03"
                         "b",
                         13));
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(picture->width(), 3u);
  EXPECT_EQ(picture->height(), 2u);
  EXPECT_EQ(picture->pixels(), std::string("aa\0bbb", 6));
}

TEST(DecodeTest, DamagedFiles) {
  EXPECT_TRUE(absl::IsInvalidArgument(Decode("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Decode("\x01\x01r").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Decode("\x01\x01x").status()));
}

}  // namespace
}  // namespace decoder
