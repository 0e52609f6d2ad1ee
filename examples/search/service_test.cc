// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <sstream>

#include "client_commands.h"
#include "temporary_tree.h"
#include "test_server.h"

namespace search {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr size_t kMaxIndexBytes = size_t{16} << 20;

// A server with a library of one tree, and a client of it.
class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Start(service_);
    const auto channel = server_.Connect();
    ASSERT_TRUE(channel.ok()) << channel.status();
    stub_ = std::make_unique<v1::Search::Stub>(*channel);
    bulk_ = std::make_unique<v1::Search::AsyncStub>(*channel);
  }

  TemporaryTree tree_;
  Index index_{kMaxIndexBytes};
  Library library_{{tree_.root()}, TreeLimits{}, index_};
  SearchService service_{index_, library_};
  TestServer server_;
  std::unique_ptr<v1::Search::Stub> stub_;
  std::unique_ptr<v1::Search::AsyncStub> bulk_;
  std::ostringstream out_;
};

TEST_F(ServiceTest, ShowsFileLineAndExcerpt) {
  tree_.Write("notes", "nothing\n  a needle here\n");
  ASSERT_TRUE(Reindex(*stub_, out_).ok());
  ASSERT_TRUE(PrintHits(*stub_, "needle", 10, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("indexed 1 files, removed 0\n"));
  EXPECT_THAT(out_.str(), HasSubstr(tree_.Path("notes") + ":2: a needle here\n1 of 1 files\n"));
}

TEST_F(ServiceTest, SaysWhatWasNotFound) {
  const absl::Status status = PrintHits(*stub_, "unicorn", 10, out_);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("unicorn"));
}

TEST_F(ServiceTest, RefusesAQueryWithoutWords) {
  EXPECT_EQ(PrintHits(*stub_, "?", 10, out_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServiceTest, TakesFilesOfMegabytes) {
  tree_.Write("large", std::string(3'000'000, '\n') + "the end\n");
  ASSERT_TRUE(AddTree(*bulk_, tree_.root(), {.max_file_bytes = kMaxIndexBytes}, out_).ok());
  ASSERT_TRUE(PrintHits(*stub_, "end", 10, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("large:3000001: the end"));
}

TEST_F(ServiceTest, SaysWhatItReplacedAndWhatItHadAlready) {
  tree_.Write("a", "text");
  tree_.Write("b", "text");
  ASSERT_TRUE(AddTree(*bulk_, tree_.root(), {}, out_).ok());
  tree_.Write("a", "other");
  ASSERT_TRUE(AddFiles(*bulk_, {tree_.Path("a"), tree_.Path("b")}, kMaxIndexBytes, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("added 2 files (0 of them replaced, 0 unchanged)"));
  EXPECT_THAT(out_.str(), HasSubstr("added 2 files (1 of them replaced, 1 unchanged)"));
}

TEST_F(ServiceTest, NamesTheFileThatCannotBeAdded) {
  const absl::Status status = AddFiles(*bulk_, {tree_.Path("missing")}, kMaxIndexBytes, out_);
  EXPECT_THAT(std::string(status.message()), HasSubstr(tree_.Path("missing")));
}

TEST_F(ServiceTest, RefusesAFileThatDoesNotFit) {
  tree_.Write("too_large", std::string(kMaxIndexBytes + 1, '\n'));
  const absl::Status status = AddFiles(*bulk_, {tree_.Path("too_large")}, 2 * kMaxIndexBytes, out_);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ServiceTest, CountsWhatItHolds) {
  ASSERT_TRUE(index_.Put("a", "two words\n").ok());
  ASSERT_TRUE(PrintStats(*stub_, out_).ok());
  EXPECT_EQ(out_.str(), "1 files, 1 lines, 2 different words, 0.0 MiB\n");
}

TEST_F(ServiceTest, MeasuresCallsOfManyThreads) {
  ASSERT_TRUE(index_.Put("a", "word\n").ok());
  ASSERT_TRUE(Bench(*stub_, "word", {.calls = 50, .threads = 3}, out_).ok());
  EXPECT_THAT(out_.str(), MatchesRegex("150 calls by 3 threads: p50 .* us  p99 .* us  max .* us, [0-9]+ calls/s\n"));
}

TEST_F(ServiceTest, MeasuresCallsWithNothingToDo) {
  ASSERT_TRUE(Bench(*stub_, "", {.calls = 50}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("50 calls by 1 threads: p50 "));
}

TEST_F(ServiceTest, EndsABenchAtTheFirstFailure) {
  EXPECT_EQ(Bench(*stub_, "?", {.calls = 50}, out_).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace search
