// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/children.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "base/limits.h"

namespace nearcall::rpc {
namespace {

using ::testing::HasSubstr;

class ChildrenTest : public ::testing::Test {
 protected:
  // Starts one that ends at once, and waits for its end.
  static void StartAndEnd(Children& children) {
    const auto server = children.Start();
    ASSERT_TRUE(server.ok()) << server.status();
    pollfd ended = {.fd = server->child->pidfd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&ended, 1, 20'000), 1);
  }
};

TEST_F(ChildrenTest, TheFirstIsStartedAtOnce) {
  Children children("/bin/false", {}, nullptr);
  EXPECT_TRUE(children.CheckMayStart().ok());
  EXPECT_EQ(children.NextStart(), 0);
  EXPECT_THAT(children.DebugString(), HasSubstr("/bin/false has not been started"));
}

TEST_F(ChildrenTest, PausesGrowWhileTheyDieYoung) {
  Children children("/bin/false", {}, nullptr);
  base::SteadyNs before = 0;
  base::SteadyNs next = 0;
  for (int i = 0; i < 12; ++i) {
    before = base::NowNs();
    StartAndEnd(children);
    next = children.NextStart();
  }
  // The longest of them is 200 ms, half of it at least.
  EXPECT_GE(next - before, base::kReconnectMaxNs / 2);
  EXPECT_LE(next - base::NowNs(), base::kReconnectMaxNs * 3 / 2);
}

TEST_F(ChildrenTest, NoPauseIfNoneIsWished) {
  Children children("/bin/false", {.max_pause = absl::ZeroDuration()}, nullptr);
  for (int i = 0; i < 3; ++i) {
    StartAndEnd(children);
    EXPECT_LE(children.NextStart(), base::NowNs());
  }
}

TEST_F(ChildrenTest, ThereIsALimitOfAMinute) {
  Children children("/bin/false", {.max_restarts_per_minute = 2}, nullptr);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(children.CheckMayStart().ok());
    StartAndEnd(children);
  }
  const absl::Status refused = children.CheckMayStart();
  EXPECT_TRUE(absl::IsUnavailable(refused));
  EXPECT_THAT(refused.message(), HasSubstr("/bin/false exited with status 1, and was started again 2 times"));
  EXPECT_THAT(refused.message(), HasSubstr("the next time may be in 1m"));
  EXPECT_THAT(children.DebugString(), HasSubstr("was started 3 times, pid "));
}

TEST_F(ChildrenTest, NoneOutlivesThem) {
  std::shared_ptr<transport::Child> child;
  {
    Children children("/bin/sleep", {.argv = {"sleep", "1000"}}, nullptr);
    auto server = children.Start();
    ASSERT_TRUE(server.ok()) << server.status();
    child = server->child;
    child->Dismiss(transport::Child::Ask::kByTerm);
  }
  EXPECT_EQ(child->Fate(), "was killed by signal 15 (Terminated)");
}

}  // namespace
}  // namespace nearcall::rpc
