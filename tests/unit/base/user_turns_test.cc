// SPDX-License-Identifier: Apache-2.0

// What is the user's, in the turns of a reactor instead of on threads: tasks, and lines of the log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/reactor.h"
#include "base/user_threads.h"
#include "unit/base/function_task.h"

namespace nearcall::base {
namespace {

using ::testing::ElementsAre;
using testing::FunctionTask;

class UserTurnsTest : public ::testing::Test {
 protected:
  void Post(std::function<void()> function) { threads_->Post(tasks_.emplace_back(std::move(function))); }
  void PostNumber(int number) {
    Post([this, number] { ran_.push_back(number); });
  }

  bool HasSomethingToRun() const {
    pollfd ready = {.fd = reactor_->fd(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, 0) == 1;
  }

  const std::shared_ptr<Reactor> reactor_ = Reactor::Create().value();
  std::list<FunctionTask> tasks_;
  std::vector<int> ran_;
  const std::shared_ptr<UserThreads> threads_ = std::make_shared<UserThreads>("test", 4, 0, reactor_.get());
};

TEST_F(UserTurnsTest, TasksRunInTurnsAndOnlyThere) {
  EXPECT_TRUE(threads_->Start().ok());
  EXPECT_FALSE(HasSomethingToRun());
  std::thread([this] { PostNumber(1); }).join();
  EXPECT_THAT(ran_, ElementsAre());
  ASSERT_TRUE(HasSomethingToRun());
  EXPECT_EQ(reactor_->Turn(10), 1u);
  EXPECT_THAT(ran_, ElementsAre(1));
  reactor_->Turn(10);
  EXPECT_FALSE(HasSomethingToRun());
  threads_->Join();
}

TEST_F(UserTurnsTest, ATurnRunsAsManyAsItMayAndTheOthersAreNotForgotten) {
  for (int number = 1; number <= 3; ++number) PostNumber(number);
  for (size_t turn = 1; turn <= 3; ++turn) {
    ASSERT_TRUE(HasSomethingToRun());
    EXPECT_EQ(reactor_->Turn(1), 1u);
    EXPECT_EQ(ran_.size(), turn);
  }
  EXPECT_THAT(ran_, ElementsAre(1, 2, 3));
  threads_->Join();
}

TEST_F(UserTurnsTest, ATaskMayEndItsThread) {
  Post([] { ::pthread_exit(nullptr); });
  PostNumber(2);
  std::thread([this] { reactor_->Turn(10); }).join();
  ASSERT_TRUE(HasSomethingToRun());
  reactor_->Turn(10);
  EXPECT_THAT(ran_, ElementsAre(2));
  threads_->Join();
}

TEST_F(UserTurnsTest, JoinRunsWhatWaitsAndThereAreNoTurnsAfterwards) {
  PostNumber(1);
  Post([this] { EXPECT_TRUE(threads_->IsCurrent()); });
  threads_->Join();
  EXPECT_THAT(ran_, ElementsAre(1));
  EXPECT_FALSE(threads_->IsCurrent());
  EXPECT_EQ(reactor_->Turn(10), 0u);
}

TEST_F(UserTurnsTest, LinesOfTheLogAreDeliveredInTurns) {
  std::vector<std::string> lines;
  Logger logger([&](LogSeverity, absl::string_view line) { lines.emplace_back(line); }, reactor_.get());
  logger.Log({}, LogSeverity::kError, "one");
  EXPECT_THAT(lines, ElementsAre());
  ASSERT_TRUE(HasSomethingToRun());
  reactor_->Turn(10);
  EXPECT_THAT(lines, ElementsAre("one"));
  logger.Log({}, LogSeverity::kError, "other");
  logger.Flush();
  EXPECT_THAT(lines, ElementsAre("one", "other")) << "nobody else would have delivered it";
  logger.Log({}, LogSeverity::kError, "last");
  logger.Close();
  EXPECT_THAT(lines, ElementsAre("one", "other", "last"));
}

}  // namespace
}  // namespace nearcall::base
