// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temporary_tree.h"

namespace search {
namespace {

using ::testing::ElementsAre;

constexpr auto kGoOn = [](absl::string_view) { return true; };

class LibraryTest : public ::testing::Test {
 protected:
  size_t FilesWith(const std::string& word) { return index_.Find(word, 0)->matching_files; }

  TemporaryTree tree_;
  Index index_{size_t{1} << 20};
  Library library_{{tree_.root()}, TreeLimits{.max_total_bytes = 20}, index_};
};

TEST_F(LibraryTest, FollowsTheTreeAndKeepsWhatOthersHaveAdded) {
  tree_.Write("kept", "kept");
  tree_.Write("gone", "gone");
  ASSERT_TRUE(index_.Put("/elsewhere", "other").ok());
  ASSERT_EQ(library_.Read(kGoOn)->indexed, 2u);

  std::filesystem::remove(tree_.Path("gone"));
  tree_.Write("fresh", "fresh");
  const auto reading = library_.Read(kGoOn);
  EXPECT_EQ(reading->indexed, 2u);
  EXPECT_EQ(reading->removed, 1u);
  EXPECT_EQ(FilesWith("gone"), 0u);
  EXPECT_EQ(FilesWith("fresh") + FilesWith("kept") + FilesWith("other"), 3u);
}

TEST_F(LibraryTest, StopsWhenNobodyWaits) {
  tree_.Write("a", "text");
  const auto reading = library_.Read([](absl::string_view) { return false; });
  EXPECT_EQ(reading.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(index_.GetStats().files, 0u);
}

TEST_F(LibraryTest, NamesTreesThatAreTooLarge) {
  tree_.Write("a", "0123456789");
  tree_.Write("b", "0123456789x");
  EXPECT_THAT(library_.Read(kGoOn)->incomplete_trees, ElementsAre(tree_.root()));
}

}  // namespace
}  // namespace search
