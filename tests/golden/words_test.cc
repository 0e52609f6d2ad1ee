// SPDX-License-Identifier: Apache-2.0
#include "words.h"

#include <gtest/gtest.h>

namespace nearcall::plugin {
namespace {

TEST(WordsTest, KnowsMacrosOfTheStandardLibrary) {
  for (const char* word : {"NAN", "EOF", "NULL", "errno", "assert", "offsetof", "PATH_MAX", "INFINITY"}) {
    EXPECT_TRUE(IsMacro(word)) << word;
  }
  for (const char* word : {"", "Nan", "GET", "status", "R", "Macro"}) EXPECT_FALSE(IsMacro(word)) << word;
}

TEST(WordsTest, KnowsWhatIsReserved) {
  for (const char* word : {"__FILE__", "__thread", "_Pragma", "__", "_GNU_SOURCE"}) EXPECT_TRUE(IsMacro(word)) << word;
  // A name that got its `_` behind it is free.
  for (const char* word : {"__FILE___", "__thread_", "_Pragma_", "_", "_x", "a__b"}) {
    EXPECT_FALSE(IsMacro(word)) << word;
  }
}

TEST(WordsTest, KnowsPrefixesOfMacros) {
  for (const char* word : {"ABSL_X", "GOOGLE_X", "PROTOBUF_X", "SYS_x", "ABSL_X_H_"})
    EXPECT_TRUE(IsMacro(word)) << word;
  for (const char* word : {"ABSL_X_", "ABSL_X_H__", "ABSLX", "SYS"}) EXPECT_FALSE(IsMacro(word)) << word;
}

TEST(WordsTest, AMacroWithParametersHindersNoType) {
  EXPECT_TRUE(IsObjectMacro("NAN"));
  EXPECT_FALSE(IsObjectMacro("timerclear"));
  EXPECT_TRUE(IsMacro("timerclear"));
}

TEST(WordsTest, KnowsTypesOfLibrariesByTheirPackage) {
  for (const char* word :
       {"tm", "FILE", "int64_t", "nearcall", "std", "nearcall.Channel", "std.string", "absl.Status"}) {
    EXPECT_TRUE(IsLibraryType(word)) << word;
  }
  for (const char* word : {"Channel", "nearcall.tm", "read", "demo.Channel"}) EXPECT_FALSE(IsLibraryType(word)) << word;
}

}  // namespace
}  // namespace nearcall::plugin
