// SPDX-License-Identifier: Apache-2.0
#include "rpc/interception.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "unit/session/client.h"

namespace nearcall::rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class InterceptionTest : public ::testing::Test {
 protected:
  // Number `i` has started, and hears of the end.
  absl::StatusOr<OnCallEnd> Start(size_t i) {
    seen_.push_back(absl::StrCat("start ", i));
    return [this, i](const CallEnd& end) { seen_.push_back(absl::StrCat("end ", i, " ", end.status.message())); };
  }
  void Tell(const std::string& text) { interception_.Tell(absl::InternalError(text), {}, {}, {}); }

  session::testing::LogLines log_;
  base::Logger logger_{log_.Sink()};
  std::vector<std::string> seen_;
  Interception interception_{"test.Service/Do", internal::MethodKind::kBidiStreaming, logger_};
};

TEST_F(InterceptionTest, AllAreAskedAndToldTheOtherWayRound) {
  EXPECT_TRUE(interception_.Ask(2, [&](size_t i) { return Start(i); }).ok());
  Tell("x");
  EXPECT_THAT(seen_, ElementsAre("start 0", "start 1", "end 1 x", "end 0 x"));
}

TEST_F(InterceptionTest, IsToldOnce) {
  EXPECT_TRUE(interception_.Ask(1, [&](size_t i) { return Start(i); }).ok());
  Tell("x");
  Tell("y");
  EXPECT_THAT(seen_, ElementsAre("start 0", "end 0 x"));
}

TEST_F(InterceptionTest, TheFirstRefusalIsTheLastQuestion) {
  const absl::Status asked = interception_.Ask(
      3, [&](size_t i) { return i == 1 ? absl::StatusOr<OnCallEnd>(absl::AbortedError("no")) : Start(i); });
  EXPECT_EQ(asked, absl::AbortedError("no"));
  Tell("x");
  EXPECT_THAT(seen_, ElementsAre("start 0", "end 0 x"));
}

TEST_F(InterceptionTest, WhoWantsToHearNothingIsToldNothing) {
  EXPECT_TRUE(
      interception_.Ask(2, [&](size_t i) { return i == 0 ? absl::StatusOr<OnCallEnd>(nullptr) : Start(i); }).ok());
  Tell("x");
  EXPECT_THAT(seen_, ElementsAre("start 1", "end 1 x"));
}

TEST_F(InterceptionTest, SaysWhatTheCallWas) {
  EXPECT_TRUE(interception_
                  .Ask(1,
                       [&](size_t) -> absl::StatusOr<OnCallEnd> {
                         return [](const CallEnd& end) {
                           EXPECT_EQ(end.call.method, "test.Service/Do");
                           EXPECT_EQ(end.call.kind, CallKind::kBidiStreaming);
                           EXPECT_EQ(end.sent, 3u);
                           EXPECT_EQ(end.received, 4u);
                           EXPECT_GT(end.duration, absl::ZeroDuration());
                           EXPECT_EQ(end.initial_metadata.Get("a"), "b");
                           EXPECT_EQ(end.trailing_metadata.Get("c"), "d");
                         };
                       })
                  .ok());
  interception_.Tell(absl::OkStatus(), {.sent = 3, .received = 4}, {{"a", "b"}}, {{"c", "d"}});
}

TEST_F(InterceptionTest, AnExceptionIsUnknownWithoutItsText) {
  const absl::Status asked =
      interception_.Ask(1, [](size_t) -> absl::StatusOr<OnCallEnd> { throw std::runtime_error("secret"); });
  EXPECT_EQ(asked.code(), absl::StatusCode::kUnknown);
  EXPECT_THAT(std::string(asked.message()), AllOf(HasSubstr("test.Service/Do"), Not(HasSubstr("secret"))));
  logger_.Flush();
  EXPECT_THAT(log_.all(), ElementsAre("an interceptor of test.Service/Do threw an exception"));
}

TEST_F(InterceptionTest, AnExceptionAtTheEndIsNoneOfTheOthers) {
  EXPECT_TRUE(interception_
                  .Ask(2,
                       [&](size_t i) -> absl::StatusOr<OnCallEnd> {
                         if (i == 0) return Start(i);
                         return [](const CallEnd&) { throw std::runtime_error("secret"); };
                       })
                  .ok());
  Tell("x");
  EXPECT_THAT(seen_, ElementsAre("start 0", "end 0 x"));
}

// Its thread goes on unwinding; who tells the end of the call then tells the rest.
TEST_F(InterceptionTest, OneThatEndsItsThreadIsNotToldAgain) {
  EXPECT_TRUE(interception_
                  .Ask(2,
                       [&](size_t i) -> absl::StatusOr<OnCallEnd> {
                         if (i == 0) return Start(i);
                         return [](const CallEnd&) { ::pthread_exit(nullptr); };
                       })
                  .ok());
  std::thread([this] { Tell("x"); }).join();
  EXPECT_THAT(seen_, ElementsAre("start 0"));
  Tell("y");
  EXPECT_THAT(seen_, ElementsAre("start 0", "end 0 y"));
}

// The call is the parent's.
TEST_F(InterceptionTest, NothingIsToldInAForkedChild) {
  EXPECT_TRUE(interception_.Ask(1, [&](size_t i) { return Start(i); }).ok());
  const pid_t child = ::fork();
  if (child == 0) {
    Tell("x");
    ::_exit(seen_.size() == 1 ? 0 : 1);
  }
  int result = -1;
  EXPECT_EQ(::waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
}

}  // namespace
}  // namespace nearcall::rpc
