// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>
#include <string>
#include <utility>

#include "service.h"
#include "test_server.h"

namespace search {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// A server on every transport, and a client that measures on one of them.
class LoadTest : public ::testing::TestWithParam<std::string> {
 protected:
  absl::StatusOr<LoadReport> Measure(const std::string& query, const std::string& file_text) {
    v1::AddRequest file;
    file.set_path("/file");
    file.set_text(file_text);
    const auto channel = server_.Connect(GetParam());
    if (!channel.ok()) return channel.status();
    return MeasureLoad(*channel, query, {file}, {.alone = absl::Milliseconds(20), .beside = absl::Milliseconds(50)});
  }

  Index index_{size_t{1} << 20};
  Library library_{{}, TreeLimits{}, index_};
  SearchService service_{index_, library_};
  TestServer server_;
};

INSTANTIATE_TEST_SUITE_P(Transports, LoadTest, ::testing::Values("shm", "mq", "pipe"),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(LoadTest, MeasuresAQuestionAloneAndBesideALoad) {
  server_.Start(service_);
  absl::StatusOr<LoadReport> report = Measure("needle", "hay\n needle" + std::string(100'000, '\n'));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->transport, GetParam());
  EXPECT_EQ(report->hits, 1u);
  EXPECT_GT(report->alone.size(), 0u);
  EXPECT_GT(report->beside.size(), 0u);
  EXPECT_GT(report->megabytes_per_second, 0);
  EXPECT_EQ(index_.GetStats().files, 1u);
}

TEST_P(LoadTest, EndsWithWhatTheServerRefuses) {
  server_.Start(service_);
  const absl::Status status = Measure("needle", std::string((size_t{1} << 20) + 1, '\n')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/file"));
}

// Finds a file more each time.
class FickleService final : public v1::Search::Service {
 public:
  absl::Status Find(nearcall::ServerContext&, const v1::FindRequest&, v1::FindReply& reply) override {
    reply.set_matching_files(++files_);
    return absl::OkStatus();
  }
  absl::Status Add(nearcall::ServerContext&, const v1::AddRequest&, v1::AddReply&) override { return absl::OkStatus(); }

 private:
  std::atomic<uint64_t> files_ = 0;
};

TEST_P(LoadTest, NoticesOtherHits) {
  FickleService service;
  server_.Start(service);
  EXPECT_THAT(std::string(Measure("needle", "").status().message()),
              HasSubstr("2 files hold all of 'needle', and before it were 1"));
  server_.Stop();  // before its service
}

TEST(LoadReportTest, PrintsColumnsUnderTheirHeadings) {
  LoadReport report{.transport = "pipe", .hits = 12, .alone = {}, .beside = {}, .megabytes_per_second = 345.6};
  report.alone.Add(absl::Microseconds(7));
  report.beside.Add(absl::Microseconds(80));
  std::ostringstream out;
  report.Print(out);
  const std::string table = out.str();
  EXPECT_THAT(table, MatchesRegex("transport +hits +p50 alone +p99 alone +p50 beside +p99 beside +bulk load\n"
                                  "pipe +12 +7.00 us +7.00 us +80.00 us +80.00 us +346 MB/s\n"));
  EXPECT_EQ(table.find('\n') * 2 + 2, table.size()) << "both lines are equally long";
}

}  // namespace
}  // namespace search
