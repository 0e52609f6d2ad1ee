#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace nearcall::base {
namespace {

using ::testing::SizeIs;

constexpr SteadyNs kSecond = 1'000'000'000;

class LogTest : public ::testing::Test {
 protected:
  void Log(SteadyNs now, int times = 1) {
    for (int i = 0; i < times; ++i) logger_.Log(LogSeverity::kError, "line", now);
  }

  std::vector<std::string> lines_;
  Logger logger_{[this](LogSeverity, absl::string_view line) { lines_.emplace_back(line); }};
};

TEST_F(LogTest, HandsLineAndSeverityToTheSink) {
  LogSeverity seen = LogSeverity::kInfo;
  Logger logger([&](LogSeverity severity, absl::string_view line) {
    seen = severity;
    lines_.emplace_back(line);
  });
  logger.Log(LogSeverity::kWarning, "text");
  EXPECT_EQ(seen, LogSeverity::kWarning);
  EXPECT_THAT(lines_, ::testing::ElementsAre("text"));
}

TEST_F(LogTest, LetsOnlySoManyLinesThroughInASecond) {
  Log(10 * kSecond, 1'000'000);
  EXPECT_THAT(lines_, SizeIs(kMaxLogLinesPerSecond));
  Log(11 * kSecond - 1, 1000);
  EXPECT_THAT(lines_, SizeIs(kMaxLogLinesPerSecond));
}

TEST_F(LogTest, SaysHowManyItLeftOut) {
  Log(10 * kSecond, kMaxLogLinesPerSecond + 7);
  Log(11 * kSecond, 2);
  ASSERT_THAT(lines_, SizeIs(kMaxLogLinesPerSecond + 2));
  EXPECT_EQ(lines_[kMaxLogLinesPerSecond], "line (7 lines left out before this one)");
  EXPECT_EQ(lines_[kMaxLogLinesPerSecond + 1], "line");
}

TEST_F(LogTest, WithoutASinkItWritesToStandardError) {
  ::testing::internal::CaptureStderr();
  Logger().Log(LogSeverity::kError, "text");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "nearcall: error: text\n");
}

TEST(LogThreadsTest, CountsTheLinesOfAllThreads) {
  constexpr int kThreads = 4;
  std::atomic<size_t> lines = 0;
  Logger logger([&](LogSeverity, absl::string_view) { ++lines; });
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 1000; ++k) logger.Log(LogSeverity::kInfo, "x", 10 * kSecond);
    });
  }
  threads.clear();
  EXPECT_GE(lines, kMaxLogLinesPerSecond);
  EXPECT_LE(lines, kMaxLogLinesPerSecond + kThreads);  // a window may begin while others count
}

}  // namespace
}  // namespace nearcall::base
