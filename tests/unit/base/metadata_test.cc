// SPDX-License-Identifier: Apache-2.0
#include "nearcall/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace nearcall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Error(const Metadata& metadata) {
  const absl::Status status = metadata.Validate();
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status));
  return std::string(status.message());
}

TEST(MetadataTest, GetFindsTheFirstValue) {
  const Metadata metadata = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
  EXPECT_EQ(metadata.Get("a"), "1");
  EXPECT_EQ(metadata.Get("b"), "2");
  EXPECT_EQ(metadata.Get("c"), std::nullopt);
  EXPECT_EQ(metadata.Get("A"), std::nullopt);
}

TEST(MetadataTest, AnEmptyValueIsAValue) {
  EXPECT_EQ((Metadata{{"a", ""}}).Get("a"), "");
}

TEST(MetadataTest, TakesWhatTheRulesAllow) {
  const Metadata metadata = {
      {"abcxyz019_-.", "value"}, {"a", ""}, {"a", " ~"}, {"x-bin", std::string("\0\n\x7f\xff", 4)}, {"-bin", "\x01"}};
  EXPECT_EQ(metadata.Validate(), absl::OkStatus());
  EXPECT_EQ(Metadata().Validate(), absl::OkStatus());
}

TEST(MetadataTest, RefusesEveryOtherByteInAKey) {
  const std::string allowed = "0123456789abcdefghijklmnopqrstuvwxyz_-.";
  for (int c = 0; c < 256; ++c) {
    Metadata metadata;
    metadata.Add(std::string(1, static_cast<char>(c)), "");
    EXPECT_EQ(metadata.Validate().ok(), allowed.find(static_cast<char>(c)) != std::string::npos) << c;
  }
}

TEST(MetadataTest, RefusesEveryOtherByteInAValue) {
  for (int c = 0; c < 256; ++c) {
    Metadata metadata;
    metadata.Add("a", std::string(1, static_cast<char>(c)));
    EXPECT_EQ(metadata.Validate().ok(), c >= 0x20 && c <= 0x7e) << c;
  }
}

TEST(MetadataTest, RefusesAnEmptyKey) {
  EXPECT_THAT(Error({{"", "x"}}), HasSubstr("empty key"));
}

TEST(MetadataTest, NamesTheFirstThatIsWrong) {
  EXPECT_THAT(Error({{"good", "x"}, {"Bad", "x"}, {"Worse", "x"}}), HasSubstr("\"Bad\""));
  EXPECT_THAT(Error({{"a", "ab\ncd"}}), HasSubstr("offset 2; for bytes the key must end in -bin"));
  EXPECT_THAT(Error({{"bin", "\n"}}), HasSubstr("\"bin\""));
}

TEST(MetadataTest, TheTextIsPrintableAndShortWhateverTheKey) {
  const std::string text = Error({{std::string(100'000, '\xff'), "x"}});
  EXPECT_THAT(text, Not(HasSubstr("\xff")));
  EXPECT_LT(text.size(), 400u);
}

TEST(MetadataTest, NeverShowsAValue) {
  EXPECT_THAT(Error({{"password", "secret\n"}}), Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace nearcall
