// SPDX-License-Identifier: Apache-2.0
#include "words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace search {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(WordsTest, SplitsAtEverythingElseAndLowersLetters) {
  EXPECT_THAT(DistinctWords("std::MutexLock lock(&mu_2); // Grüße"),
              ElementsAre("std", "mutexlock", "lock", "mu_2", "grüße"));
}

TEST(WordsTest, GivesEachWordOnce) {
  EXPECT_THAT(DistinctWords("to be or not to be"), ElementsAre("to", "be", "or", "not"));
}

TEST(WordsTest, LeavesOutWhatIsTooShortOrTooLong) {
  EXPECT_THAT(DistinctWords("a " + std::string(kMaxWordBytes + 1, 'x') + " " + std::string(kMaxWordBytes, 'y')),
              ElementsAre(std::string(kMaxWordBytes, 'y')));
  EXPECT_THAT(DistinctWords(" ,;\n"), IsEmpty());
}

}  // namespace
}  // namespace search
