// SPDX-License-Identifier: Apache-2.0
#include "index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"

namespace search {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kRoomForAll = size_t{1} << 20;
constexpr auto kGoOn = [] { return true; };

class IndexTest : public ::testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text) { ASSERT_TRUE(index_.Put(path, text).ok()) << path; }

  // "path:line" of each hit, best first.
  std::vector<std::string> Find(const std::string& query, size_t max_hits = 100) {
    std::vector<std::string> found;
    const auto result = index_.Find(query, max_hits);
    if (!result.ok()) return {result.status().ToString()};
    for (const Index::Hit& hit : result->hits) found.push_back(absl::StrCat(hit.path, ":", hit.line));
    return found;
  }

  // The same in the order in which they come.
  std::vector<std::string> Scan(const std::string& query) {
    std::vector<std::string> found;
    Index::Scan scan = *Index::StartScan(query);
    while (const auto hit = index_.NextHit(scan, kGoOn)) found.push_back(absl::StrCat(hit->path, ":", hit->line));
    return found;
  }

  Index index_{kRoomForAll};
};

TEST_F(IndexTest, FindsALineWhateverTheCase) {
  Put("a.txt", "first\n  The needle, here\nlast\n");
  EXPECT_THAT(Find("NEEDLE"), ElementsAre("a.txt:2"));
  EXPECT_EQ(index_.Find("needle", 1)->hits[0].excerpt, "The needle, here");
  EXPECT_THAT(Find("needles"), IsEmpty());
}

TEST_F(IndexTest, FindsOnlyFilesWithAllWords) {
  Put("both", "red\ngreen\n");
  Put("one", "red\n");
  EXPECT_THAT(Find("red green"), ElementsAre("both:1"));
  EXPECT_THAT(Find("red green blue"), IsEmpty());
}

TEST_F(IndexTest, PointsToTheLineWithMostOfTheWords) {
  Put("a", "red\ngreen\nred green\nred green\n");
  const Index::Hit hit = index_.Find("red green", 1)->hits[0];
  EXPECT_EQ(hit.line, 3u);
  EXPECT_EQ(hit.matching_lines, 4u);
}

TEST_F(IndexTest, PutsFilesWithMoreLinesFirst) {
  Put("a_few", "word\n");
  Put("many", "word\nword\nword\n");
  EXPECT_THAT(Find("word"), ElementsAre("many:1", "a_few:1"));
}

TEST_F(IndexTest, CountsARareWordForMore) {
  for (int i = 0; i < 10; ++i) Put(absl::StrCat("filler", i), "common\n");
  Put("a", "common\ncommon\nrare\n");
  Put("b", "common\nrare\nrare\n");
  EXPECT_THAT(Find("common rare"), ElementsAre("b:1", "a:1"));
}

TEST_F(IndexTest, OrdersEqualFilesByPathHoweverTheyCame) {
  for (const char* path : {"c", "a", "b"}) Put(path, "word\n");
  EXPECT_THAT(Find("word"), ElementsAre("a:1", "b:1", "c:1"));
}

TEST_F(IndexTest, CountsTheFilesThatItDoesNotShow) {
  for (const char* path : {"a", "b", "c"}) Put(path, "word\n");
  EXPECT_THAT(Find("word", 2), ElementsAre("a:1", "b:1"));
  EXPECT_EQ(index_.Find("word", 2)->matching_files, 3u);
}

TEST_F(IndexTest, ForgetsTheOldTextOfAFileThatIsReplaced) {
  Put("a", "old shared\n");
  EXPECT_EQ(*index_.Put("a", "new\nshared\n"), Index::Change::kReplaced);
  EXPECT_THAT(Find("old"), IsEmpty());
  EXPECT_THAT(Find("shared"), ElementsAre("a:2"));
  EXPECT_EQ(index_.GetStats().files, 1u);
}

TEST_F(IndexTest, SaysWhatAFileChanges) {
  EXPECT_EQ(*index_.Put("a", "text\n"), Index::Change::kAdded);
  EXPECT_EQ(*index_.Put("a", "text\n"), Index::Change::kNone);
  EXPECT_EQ(*index_.Put("a", "other\n"), Index::Change::kReplaced);
  EXPECT_THAT(Find("other"), ElementsAre("a:1"));
}

TEST_F(IndexTest, IsEmptyAgainWhenEverythingIsRemoved) {
  Put("a", "red green\n");
  Put("b", "green\nblue\n");
  EXPECT_TRUE(index_.Remove("a"));
  EXPECT_FALSE(index_.Remove("a"));
  EXPECT_THAT(Find("green"), ElementsAre("b:1"));
  EXPECT_TRUE(index_.Remove("b"));
  const Index::Stats stats = index_.GetStats();
  EXPECT_EQ(stats.files + stats.lines + stats.distinct_words + stats.text_bytes, 0u);
}

TEST_F(IndexTest, RefusesAQueryWithoutWords) {
  EXPECT_EQ(index_.Find("?! a", 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(index_.Put("", "text").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(index_.Put(std::string(4097, 'x'), "text").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(IndexTest, RefusesWhatDoesNotFitAndKeepsWhatItHas) {
  Index small(10);
  ASSERT_TRUE(small.Put("a", "0123456789").ok());
  const absl::Status status = small.Put("b", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("10 of 10"));
  EXPECT_FALSE(small.Put("a", "0123456789x").ok());
  EXPECT_EQ(small.Find("0123456789", 1)->matching_files, 1u);
  EXPECT_TRUE(small.Put("a", "replaced").ok()) << "the replaced text's room counts as free";
}

TEST_F(IndexTest, PutsAllOrNothing) {
  Index small(10);
  ASSERT_TRUE(small.Put("a", "old text").ok());
  EXPECT_EQ(small.PutAll({{"a", "new"}, {"b", "12345678"}}).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(small.Find("old", 1)->matching_files, 1u);
  EXPECT_EQ(small.GetStats().files, 1u);
  EXPECT_FALSE(small.PutAll({{"b", "text"}, {"", "text"}}).ok());
  EXPECT_EQ(small.GetStats().files, 1u);

  const auto changes = small.PutAll({{"a", "new"}, {"b", "a b bb"}});
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_THAT(changes->changed, ElementsAre("a", "b"));
  EXPECT_EQ(changes->replaced, 1u);
  EXPECT_EQ(changes->words, 2u) << "letters alone are no words";
  EXPECT_EQ(changes->bytes, 9u);
  const auto again = small.PutAll({{"a", "new"}});
  EXPECT_THAT(again->changed, IsEmpty());
  EXPECT_EQ(again->unchanged, 1u);
}

TEST_F(IndexTest, ScansInTheOrderInWhichFilesCame) {
  Put("b", "red\n\n");
  Put("none", "green\n");
  Put("c", "red green\nred\n");
  Put("a", "green\n red\n");
  EXPECT_THAT(Scan("red"), ElementsAre("b:1", "c:1", "a:2"));
  EXPECT_THAT(Scan("red green"), ElementsAre("c:1", "a:1"));
  EXPECT_THAT(Scan("red blue"), IsEmpty());
  EXPECT_EQ(Index::StartScan("?").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(IndexTest, ScansOnWhileFilesComeAndGo) {
  for (const char* path : {"a", "b", "c"}) Put(path, "word\n");
  Index::Scan scan = *Index::StartScan("word");
  EXPECT_EQ(index_.NextHit(scan, kGoOn)->path, "a");
  index_.Remove("a");
  index_.Remove("b");
  Put("d", "word\n");
  EXPECT_EQ(index_.NextHit(scan, kGoOn)->path, "c");
  EXPECT_EQ(index_.NextHit(scan, kGoOn)->path, "d");
  EXPECT_FALSE(index_.NextHit(scan, kGoOn).has_value());
}

TEST_F(IndexTest, StopsAScanWhenItIsTold) {
  Put("a", "word\n");
  Index::Scan scan = *Index::StartScan("word");
  EXPECT_FALSE(index_.NextHit(scan, [] { return false; }).has_value());
  EXPECT_TRUE(index_.NextHit(scan, kGoOn).has_value());
}

TEST_F(IndexTest, SaysWhereAWordStandsInAFile) {
  Put("a", "\nred\n");
  Put("b", "green\n");
  EXPECT_EQ(index_.HitIn("a", "red")->line, 2u);
  EXPECT_FALSE(index_.HitIn("b", "red").has_value());
  EXPECT_FALSE(index_.HitIn("c", "red").has_value());
}

TEST_F(IndexTest, TakesLinesWithoutNewlineAtTheEndAndEmptyFiles) {
  Put("a", "\n\nlast");
  Put("empty", "");
  EXPECT_THAT(Find("last"), ElementsAre("a:3"));
  EXPECT_EQ(index_.GetStats().lines, 3u);
}

TEST_F(IndexTest, CutsLongExcerptsBetweenCharacters) {
  std::string line = "word ";
  while (line.size() < 400) line += "ü";
  Put("a", line);
  const std::string excerpt = index_.Find("word", 1)->hits[0].excerpt;
  EXPECT_THAT(excerpt, EndsWith("ü..."));
  EXPECT_LT(excerpt.size(), 200u);
}

TEST_F(IndexTest, StaysWholeWhileManyThreadsPutRemoveAndFind) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 200;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, own = absl::StrCat("file", thread)] {
        for (int round = 0; round < kRounds; ++round) {
          ASSERT_TRUE(index_.Put(own, absl::StrCat("shared\nround", round, "\n")).ok());
          EXPECT_THAT(Find("shared"), ::testing::Contains(own + ":1"));
          const bool keep = round % 2 == 1;
          EXPECT_TRUE(keep || index_.Remove(own));
        }
      });
    }
  }
  EXPECT_EQ(index_.Find("shared", 100)->matching_files, static_cast<size_t>(kThreads));
}

}  // namespace
}  // namespace search
