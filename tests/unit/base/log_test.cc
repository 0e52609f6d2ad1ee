// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/standard_error.h"

namespace nearcall::base {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr SteadyNs kSecond = 1'000'000'000;
constexpr LogTopic kTopic = {LogKind::kViolation, 1};

class LogTest : public ::testing::Test {
 protected:
  void Log(SteadyNs now, size_t times = 1, const LogTopic& topic = kTopic) {
    for (size_t i = 0; i < times; ++i) logger_.Log(topic, LogSeverity::kError, "line", now);
  }

  const std::vector<std::string>& Lines() {
    logger_.Flush();
    return lines_;
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
  logger.Log(kTopic, LogSeverity::kWarning, "text");
  logger.Flush();
  EXPECT_EQ(seen, LogSeverity::kWarning);
  EXPECT_THAT(lines_, ElementsAre("text"));
}

TEST_F(LogTest, LetsOnlySoManyLinesThroughInASecond) {
  Log(10 * kSecond, 1'000'000);
  EXPECT_THAT(Lines(), SizeIs(kMaxLogLinesPerSecond));
  Log(11 * kSecond - 1, 1000);
  EXPECT_THAT(Lines(), SizeIs(kMaxLogLinesPerSecond));
}

TEST_F(LogTest, SaysHowManyItLeftOut) {
  Log(10 * kSecond, kMaxLogLinesPerSecond + 7);
  Log(11 * kSecond, 2);
  ASSERT_THAT(Lines(), SizeIs(kMaxLogLinesPerSecond + 2));
  EXPECT_EQ(lines_[kMaxLogLinesPerSecond], "line (7 lines left out before this one)");
  EXPECT_EQ(lines_[kMaxLogLinesPerSecond + 1], "line");
}

TEST_F(LogTest, OneUsersLinesLeaveRoomForThoseOfOthersAndOfOtherKinds) {
  Log(10 * kSecond, 1000);
  Log(10 * kSecond, 1, {LogKind::kViolation, 2});
  Log(10 * kSecond, 1, {LogKind::kTurnedAway, 1});
  EXPECT_THAT(Lines(), SizeIs(kMaxLogLinesPerSecond + 2));
}

TEST_F(LogTest, AnyNumberOfUsersIsBounded) {
  for (uid_t uid = 0; uid < 1000; ++uid) {
    Log(10 * kSecond, 1000, {LogKind::kViolation, uid});
    logger_.Flush();
  }
  EXPECT_LE(Lines().size(), (kMaxLogTopics + 1) * kMaxLogLinesPerSecond);
  // And they get their turn when the first ones are quiet.
  const size_t before = lines_.size();
  Log(12 * kSecond, 1000, {LogKind::kViolation, 1000});
  ASSERT_THAT(Lines(), SizeIs(before + kMaxLogLinesPerSecond));
}

// --- a sink that does not return ---

class StuckLogTest : public ::testing::Test {
 protected:
  ~StuckLogTest() override { Release(); }

  void Release() {
    if (!released_.exchange(true)) may_return_.count_down();
  }

  std::latch entered_{1};
  std::latch may_return_{1};
  std::atomic<bool> released_{false};
  std::atomic<bool> first_{true};
  std::vector<std::string> lines_;
  Logger logger_{[this](LogSeverity, absl::string_view line) {
    if (first_.exchange(false)) entered_.count_down();
    may_return_.wait();
    lines_.emplace_back(line);
  }};
};

TEST_F(StuckLogTest, NobodyWhoLogsWaits) {
  for (size_t i = 0; i < 1 + kMaxQueuedLogLines + 5; ++i) {
    logger_.Log(kTopic, LogSeverity::kError, "line", static_cast<SteadyNs>(10 + i) * kSecond);
    if (i == 0) entered_.wait();
  }
  Release();
  logger_.Flush();
  EXPECT_THAT(lines_, SizeIs(1 + kMaxQueuedLogLines));
  logger_.Log({}, LogSeverity::kError, "next");
  logger_.Flush();
  EXPECT_EQ(lines_.back(), "next (5 lines left out before this one)");
}

TEST_F(StuckLogTest, TheEndWaitsForTheLineThatIsBeingTakenAndThenThereIsNone) {
  logger_.Log({}, LogSeverity::kError, "first");
  entered_.wait();
  std::atomic<bool> closed = false;
  std::thread closer([&] {
    logger_.Close();
    closed = true;
  });
  EXPECT_FALSE(closed);
  Release();
  closer.join();
  EXPECT_THAT(lines_, ElementsAre("first"));
  logger_.Log({}, LogSeverity::kError, "late");
  logger_.Flush();
  EXPECT_THAT(lines_, ElementsAre("first"));
}

TEST(LogEndTest, TheLastLinesAreDelivered) {
  std::vector<std::string> lines;
  {
    Logger logger([&](LogSeverity, absl::string_view line) { lines.emplace_back(line); });
    for (int i = 0; i < 5; ++i) logger.Log({}, LogSeverity::kError, absl::StrCat(i));
  }
  EXPECT_THAT(lines, ElementsAre("0", "1", "2", "3", "4"));
}

TEST(LogEndTest, TheSinkMayEndItsLogger) {
  std::latch ended(1);
  std::atomic<bool> sink_gone = false;
  auto logger = std::make_unique<Logger>();
  const std::shared_ptr<int> owned(new int, [&](const int* number) {
    sink_gone = true;
    delete number;
  });
  logger = std::make_unique<Logger>([&, owned](LogSeverity, absl::string_view) {
    logger.reset();
    ended.count_down();
  });
  logger->Log({}, LogSeverity::kError, "last");
  ended.wait();
  while (owned.use_count() > 1) std::this_thread::yield();
  EXPECT_FALSE(sink_gone);
}

// --- standard error ---

TEST(StandardErrorTest, WithoutASinkItIsWrittenTo) {
  ::testing::internal::CaptureStderr();
  Logger().Log({}, LogSeverity::kError, "text");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "nearcall: error: text\n");
}

TEST(StandardErrorTest, ALineIsCut) {
  ::testing::internal::CaptureStderr();
  Logger().Log({}, LogSeverity::kError, std::string(100'000, 'x'));
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, SizeIs(kMaxLogLineSize));
  EXPECT_EQ(text.back(), '\n');
}

// Puts the end of a pipe in the place of standard error.
class BadStandardErrorTest : public ::testing::Test {
 protected:
  BadStandardErrorTest() : before_(::dup(STDERR_FILENO)) {
    std::array<int, 2> ends;
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader_.Reset(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
  }
  ~BadStandardErrorTest() override { ::dup2(before_.get(), STDERR_FILENO); }

  static void Fill() {
    ::fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (::write(STDERR_FILENO, "x", 1) == 1) {
    }
    ::fcntl(STDERR_FILENO, F_SETFL, 0);
  }

  std::string ReadAll() {
    std::string all;
    ::fcntl(reader_.get(), F_SETFL, O_NONBLOCK);
    std::array<char, 4096> part;
    for (ssize_t size; (size = ::read(reader_.get(), part.data(), part.size())) > 0;) {
      all.append(part.data(), static_cast<size_t>(size));
    }
    return all;
  }

  const Fd before_;
  Fd reader_;
};

TEST_F(BadStandardErrorTest, AFullOneHoldsUpNobody) {
  Fill();
  Logger logger;
  for (int i = 0; i < 5; ++i) logger.Log({}, LogSeverity::kError, "line");
  logger.Close();  // after a while
  EXPECT_THAT(ReadAll(), ::testing::Not(HasSubstr("line")));
}

TEST_F(BadStandardErrorTest, OneThatHasRoomAgainGetsWhatWaited) {
  Fill();
  Logger logger;
  for (int i = 0; i < 5; ++i) logger.Log({}, LogSeverity::kError, absl::StrCat("line ", i));
  std::string read = ReadAll();
  logger.Close();
  read += ReadAll();
  EXPECT_THAT(read, ::testing::AllOf(HasSubstr("error: line 0\n"), HasSubstr("error: line 4\n")));
}

// SIGPIPE has its default here: it would end the test.
TEST_F(BadStandardErrorTest, OneThatNobodyReadsRaisesNoSignal) {
  reader_.Reset();
  EXPECT_TRUE(StandardError::TryWrite("of this thread"));
  Logger logger;
  logger.Log({}, LogSeverity::kError, "line");
  logger.Close();
}

TEST(LogThreadsTest, CountsTheLinesOfAllThreads) {
  constexpr size_t kThreads = 4;
  std::atomic<size_t> lines = 0;
  Logger logger([&](LogSeverity, absl::string_view) { ++lines; });
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 1000; ++k) logger.Log(kTopic, LogSeverity::kInfo, "x", 10 * kSecond);
    });
  }
  threads.clear();
  logger.Close();
  EXPECT_EQ(lines, kMaxLogLinesPerSecond);
}

}  // namespace
}  // namespace nearcall::base
