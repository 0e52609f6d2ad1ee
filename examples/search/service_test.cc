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
  }

  // The files of the tree.
  absl::Status AddAll(const TreeLimits& limits = {}) {
    const absl::StatusOr<FileList> files = ListTextFiles(tree_.root(), limits);
    if (!files.ok()) return files.status();
    return AddFiles(*stub_, *files, limits.max_file_bytes, out_);
  }

  TemporaryTree tree_;
  Index index_{kMaxIndexBytes};
  Library library_{{tree_.root()}, TreeLimits{}, index_};
  SearchService service_{index_, library_};
  TestServer server_;
  std::unique_ptr<v1::Search::Stub> stub_;
  std::ostringstream out_;
};

TEST_F(ServiceTest, ShowsFileLineAndExcerpt) {
  tree_.Write("notes", "nothing\n  a needle here\n");
  ASSERT_TRUE(Reindex(*stub_, out_).ok());
  ASSERT_TRUE(PrintBestHits(*stub_, "needle", 10, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("indexed 1 files, removed 0\n"));
  EXPECT_THAT(out_.str(), HasSubstr(tree_.Path("notes") + ":2: a needle here\n1 of 1 files\n"));
}

TEST_F(ServiceTest, SaysWhatWasNotFound) {
  for (const absl::Status& status :
       {PrintHits(*stub_, "unicorn", 0, out_), PrintBestHits(*stub_, "unicorn", 10, out_)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr("unicorn"));
  }
}

TEST_F(ServiceTest, RefusesAQueryWithoutWords) {
  EXPECT_EQ(PrintHits(*stub_, "?", 0, out_).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PrintBestHits(*stub_, "?", 10, out_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServiceTest, TakesFilesOfMegabytes) {
  tree_.Write("large", std::string(3'000'000, '\n') + "the end\n");
  ASSERT_TRUE(AddAll({.max_file_bytes = kMaxIndexBytes}).ok());
  ASSERT_TRUE(PrintBestHits(*stub_, "end", 10, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("large:3000001: the end"));
}

TEST_F(ServiceTest, SaysWhatItReplacedAndWhatItHadAlready) {
  tree_.Write("a", "text");
  tree_.Write("b", "text");
  ASSERT_TRUE(AddAll().ok());
  tree_.Write("a", "other");
  ASSERT_TRUE(AddFiles(*stub_, ListFiles({tree_.Path("a"), tree_.Path("b")}), kMaxIndexBytes, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("added 2 files (0 of them replaced, 0 unchanged)"));
  EXPECT_THAT(out_.str(), HasSubstr("added 2 files (1 of them replaced, 1 unchanged)"));
}

TEST_F(ServiceTest, NamesTheFileThatCannotBeAdded) {
  const absl::Status status = AddFiles(*stub_, ListFiles({tree_.Path("missing")}), kMaxIndexBytes, out_);
  EXPECT_THAT(std::string(status.message()), HasSubstr(tree_.Path("missing")));
}

TEST_F(ServiceTest, RefusesAFileThatDoesNotFit) {
  tree_.Write("too_large", std::string(kMaxIndexBytes + 1, '\n'));
  const absl::Status status = AddFiles(*stub_, ListFiles({tree_.Path("too_large")}), 2 * kMaxIndexBytes, out_);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ServiceTest, LeavesOutWhatIsNoTextOfATree) {
  tree_.Write("binary", absl::string_view("\0", 1));
  tree_.Write("text", "two words");
  ASSERT_TRUE(AddAll().ok());
  EXPECT_THAT(out_.str(), HasSubstr("added 1 files (0 of them replaced, 0 unchanged), 2 words, 9 bytes"));
}

TEST_F(ServiceTest, FindsNoneOfTheFilesOfAnUploadThatWasGivenUp) {
  const auto upload = stub_->Upload();
  v1::UploadPiece piece;
  piece.set_last(true);
  for (const char* path : {"/a", "/b", "/c", "/d"}) {
    piece.set_path(path);
    piece.set_text(std::string(64 << 10, '\n'));
    ASSERT_TRUE(upload->Write(piece));  // the window is full with one: the server has read the first ones
  }
  upload->Cancel();
  EXPECT_EQ(upload->Finish().status().code(), absl::StatusCode::kCancelled);
  server_.Stop();  // its handler has ended then
  EXPECT_EQ(index_.GetStats().files, 0u);
}

TEST_F(ServiceTest, EndsAnUploadEarlyIfItsPiecesMakeNoFile) {
  const auto upload = stub_->Upload();
  v1::UploadPiece piece;
  piece.set_text("of what?");
  while (upload->Write(piece)) continue;
  EXPECT_EQ(upload->Finish().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServiceTest, EndsAWatchForWhatIsNoWord) {
  const auto watch = stub_->Watch();
  v1::WatchRequest request;
  request.add_add("two words");
  ASSERT_TRUE(watch->Write(request));
  v1::WatchReply reply;
  EXPECT_FALSE(watch->Read(&reply));
  const absl::Status status = watch->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'two words' is not one word"));
}

TEST_F(ServiceTest, TellsAWatchOfFilesThatComeAlone) {
  const auto watch = stub_->Watch();
  v1::WatchRequest request;
  request.add_add("Needle");
  ASSERT_TRUE(watch->Write(request));
  v1::WatchReply reply;
  ASSERT_TRUE(watch->Read(&reply));
  ASSERT_EQ(reply.watched().words_size(), 1);
  EXPECT_EQ(reply.watched().words(0), "needle");
  v1::AddRequest file;
  file.set_path("/a");
  file.set_text("the needle\n");
  ASSERT_TRUE(stub_->Add(file).ok());
  ASSERT_TRUE(watch->WritesDone()) << "what is to be told is told before the end";
  ASSERT_TRUE(watch->Read(&reply));
  EXPECT_EQ(reply.hit().word(), "needle");
  EXPECT_EQ(reply.hit().hit().path(), "/a");
  EXPECT_EQ(reply.hit().hit().excerpt(), "the needle");
  EXPECT_FALSE(watch->Read(&reply));
  EXPECT_TRUE(watch->Finish().ok());
}

TEST_F(ServiceTest, CountsWhatItHolds) {
  ASSERT_TRUE(index_.Put("a", "two words\n").ok());
  ASSERT_TRUE(PrintStats(*stub_, out_).ok());
  EXPECT_EQ(out_.str(), "1 files, 1 lines, 2 different words, 0.0 MiB, 0 streams\n");
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
