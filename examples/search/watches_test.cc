// SPDX-License-Identifier: Apache-2.0
#include "watches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace search {
namespace {

using ::testing::ElementsAre;

class WatchesTest : public ::testing::Test {
 protected:
  static v1::WatchRequest Request(const std::vector<std::string>& add, const std::vector<std::string>& remove = {}) {
    v1::WatchRequest request;
    for (const std::string& word : add) request.add_add(word);
    for (const std::string& word : remove) request.add_remove(word);
    return request;
  }

  void Add(const std::string& path, const std::string& text) {
    ASSERT_TRUE(index_.Put(path, text).ok());
    watches_.Offer(index_, path);
  }

  // Everything that there is to tell.
  static std::vector<std::string> Told(Watch& watch) {
    std::stop_source stopped;
    stopped.request_stop();
    std::vector<std::string> told;
    watch.Tell(stopped.get_token(), [&](const v1::WatchReply& reply) {
      const v1::WatchHit& hit = reply.hit();
      told.push_back(reply.has_hit() ? absl::StrCat(hit.word(), " in ", hit.hit().path(), ", missed ", hit.missed())
                                     : absl::StrCat("watched: ", reply.watched().words_size()));
      return true;
    });
    return told;
  }

  Index index_{size_t{1} << 20};
  Watches watches_;
};

TEST_F(WatchesTest, EachTellsOfItsOwnWords) {
  Watch red(watches_);
  Watch both(watches_);
  ASSERT_TRUE(red.Change(Request({"Red"})).ok());
  ASSERT_TRUE(both.Change(Request({"red", "green"})).ok());
  Add("/a", "red green");
  EXPECT_THAT(Told(red), ElementsAre("watched: 1", "red in /a, missed 0"));
  EXPECT_THAT(Told(both), ElementsAre("watched: 2", "green in /a, missed 0", "red in /a, missed 0"));
}

TEST_F(WatchesTest, ChangesItsWordsWhileItGoesOn) {
  Watch watch(watches_);
  ASSERT_TRUE(watch.Change(Request({"red"})).ok());
  ASSERT_TRUE(watch.Change(Request({"green"}, {"red"})).ok());
  Add("/a", "red");
  Add("/b", "green");
  EXPECT_THAT(Told(watch), ElementsAre("watched: 1", "watched: 1", "green in /b, missed 0"));
}

TEST_F(WatchesTest, ChangesNothingIfOneIsNoWord) {
  Watch watch(watches_);
  EXPECT_EQ(watch.Change(Request({"red", "?"})).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(watch.Change(Request({"red", "two words"})).code(), absl::StatusCode::kInvalidArgument);
  Add("/a", "red two words");
  EXPECT_THAT(Told(watch), ElementsAre());
}

TEST_F(WatchesTest, RefusesTooManyWords) {
  Watch watch(watches_);
  std::vector<std::string> words;
  for (int i = 0; i < 1001; ++i) words.push_back(absl::StrCat("word", i));
  EXPECT_EQ(watch.Change(Request(words)).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(WatchesTest, DropsAndCountsWhatIsNotRead) {
  Watch watch(watches_);
  ASSERT_TRUE(watch.Change(Request({"red"})).ok());
  for (int i = 0; i < 1005; ++i) Add(absl::StrCat("/", i), "red");
  const std::vector<std::string> told = Told(watch);
  EXPECT_EQ(told.size(), 1000u);
  EXPECT_EQ(told.back(), "red in /998, missed 0");
  Add("/next", "red");
  EXPECT_THAT(Told(watch), ElementsAre("red in /next, missed 6"));
}

TEST_F(WatchesTest, AClientThatIsNotToldOfItsChangesWaitsWithMore) {
  Watch watch(watches_);
  std::future<void> changing = std::async(std::launch::async, [&] {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(watch.Change(Request({"red"})).ok());
  });
  EXPECT_EQ(changing.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  size_t told = 0;
  while (told < 100) told += Told(watch).size();
  changing.get();
}

TEST_F(WatchesTest, ChangesNothingWhenNobodyListens) {
  Watch watch(watches_);
  ASSERT_TRUE(watch.Change(Request({"red"})).ok());
  watch.Tell({}, [](const v1::WatchReply&) { return false; });
  EXPECT_EQ(watch.Change(Request({"green"})).code(), absl::StatusCode::kCancelled);
}

TEST_F(WatchesTest, IsToldNothingAfterItsEnd) {
  { const Watch watch(watches_); }
  Add("/a", "red");
}

}  // namespace
}  // namespace search
