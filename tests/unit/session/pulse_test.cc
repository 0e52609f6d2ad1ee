// SPDX-License-Identifier: Apache-2.0
#include "session/pulse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

namespace nearcall::session {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using transport::ControlMessage;
using transport::Progress;

constexpr int64_t kSecond = 1'000'000'000;

class PulseTest : public ::testing::Test {
 protected:
  static ControlMessage Pong(uint64_t number, std::optional<Progress> progress = {}) {
    return {.kind = ControlMessage::Kind::kPong, .call_id = number, .progress = progress};
  }

  // A ping at that second, answered at once.
  void Beat(int64_t second, std::optional<Progress> progress = {}) {
    EXPECT_TRUE(pulse_.Take(Pong(pulse_.Ping(second * kSecond), progress), second * kSecond));
  }

  std::string ToldAt(int64_t second, int64_t since = 1) {
    return pulse_.Told(since * kSecond, second * kSecond + kSecond / 2);
  }

  Pulse pulse_;
};

TEST_F(PulseTest, NothingIsKnownAtFirst) {
  EXPECT_FALSE(pulse_.waits());
  EXPECT_THAT(ToldAt(5), IsEmpty());
}

TEST_F(PulseTest, OnlyTheAnswerToTheLastPingCounts) {
  EXPECT_FALSE(pulse_.Take(Pong(0), kSecond)) << "nobody asked";
  const uint64_t first = pulse_.Ping(kSecond);
  const uint64_t second = pulse_.Ping(2 * kSecond);
  EXPECT_FALSE(pulse_.Take(Pong(first), kSecond));
  EXPECT_FALSE(pulse_.Take(Pong(second + 1), kSecond));
  EXPECT_TRUE(pulse_.waits());
  EXPECT_TRUE(pulse_.Take(Pong(second), kSecond));
  EXPECT_FALSE(pulse_.waits());
  EXPECT_FALSE(pulse_.Take(Pong(second), kSecond)) << "it was answered";
}

TEST_F(PulseTest, SilenceIsTold) {
  Beat(2);
  pulse_.Ping(3 * kSecond);
  EXPECT_EQ(ToldAt(5), "; the server has not answered a ping for 2.5s");
}

// What a pong takes is no silence.
TEST_F(PulseTest, APingOfJustNowIsNotSilence) {
  Beat(2);
  pulse_.Ping(3 * kSecond);
  EXPECT_THAT(pulse_.Told(kSecond, 3 * kSecond + 1000), HasSubstr("the server is alive"));
}

TEST_F(PulseTest, AnAnswerOfBeforeSaysNothing) {
  Beat(1);
  EXPECT_THAT(ToldAt(5), IsEmpty());
}

TEST_F(PulseTest, OfAServerThatDoesNotSayHowItIsItsLifeIsTold) {
  Beat(2);
  Beat(4);
  EXPECT_EQ(ToldAt(4), "; the server is alive (it answered a ping 500ms ago)");
}

TEST_F(PulseTest, HandlersThatHangAreTold) {
  Beat(2, Progress{.handlers_started = 5, .handlers_running = 1});
  Beat(3, Progress{.handlers_started = 6, .handlers_running = 2});
  Beat(9, Progress{.handlers_started = 6, .handlers_running = 2});
  EXPECT_EQ(
      ToldAt(9),
      "; the server is alive (it answered a ping 500ms ago), handlers running: 2, none has begun or ended for 6s");
}

TEST_F(PulseTest, HandlersThatBeginOrEndAreTold) {
  Beat(2, Progress{.handlers_started = 5, .handlers_running = 2});
  Beat(3, Progress{.handlers_started = 5, .handlers_running = 1});
  EXPECT_THAT(ToldAt(3), HasSubstr("running: 1, others begin and end"));
  Beat(4, Progress{.handlers_started = 6, .handlers_running = 1});
  EXPECT_THAT(ToldAt(4), HasSubstr("running: 1, others begin and end"));
  Beat(5, Progress{.handlers_started = 6, .handlers_running = 1});
  EXPECT_THAT(ToldAt(5), Not(HasSubstr("others")));
}

}  // namespace
}  // namespace nearcall::session
