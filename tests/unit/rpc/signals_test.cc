// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/signals.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

namespace nearcall::rpc {
namespace {

bool IsReadable(int fd) {
  pollfd item = {.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&item, 1, 0) == 1;
}

int old_handler_ran = 0;

// What the program had before, which must come back.
class SignalsTest : public ::testing::Test {
 protected:
  SignalsTest() {
    old_handler_ran = 0;
    before_int_ = ::signal(SIGINT, [](int) { ++old_handler_ran; });
    before_term_ = ::signal(SIGTERM, [](int) { ++old_handler_ran; });
  }
  ~SignalsTest() override {
    ::signal(SIGINT, before_int_);
    ::signal(SIGTERM, before_term_);
  }

 private:
  sighandler_t before_int_;
  sighandler_t before_term_;
};

TEST_F(SignalsTest, EachSignalMakesTheDescriptorReadable) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const auto signals = Signals::Catch();
    ASSERT_TRUE(signals.ok());
    EXPECT_FALSE(IsReadable((*signals)->fd()));
    ::raise(signal);
    EXPECT_TRUE(IsReadable((*signals)->fd()));
  }
  EXPECT_EQ(old_handler_ran, 0);
}

TEST_F(SignalsTest, CountsThem) {
  const auto signals = Signals::Catch();
  ASSERT_TRUE(signals.ok());
  EXPECT_EQ((*signals)->Count(), 0u);
  ::raise(SIGTERM);
  EXPECT_EQ((*signals)->Count(), 1u);
  EXPECT_FALSE(IsReadable((*signals)->fd()));
  ::raise(SIGTERM);
  ::raise(SIGINT);
  EXPECT_EQ((*signals)->Count(), 3u);
}

TEST_F(SignalsTest, AForkedChildDiesOfItsOwnSignalsAndItsParentHearsNothing) {
  const auto signals = Signals::Catch();
  ASSERT_TRUE(signals.ok());
  const pid_t child = ::fork();
  if (child == 0) {
    ::raise(SIGTERM);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
  EXPECT_FALSE(IsReadable((*signals)->fd()));
}

TEST_F(SignalsTest, TheFormerDispositionsComeBack) {
  { const auto signals = Signals::Catch(); }
  ::raise(SIGINT);
  ::raise(SIGTERM);
  EXPECT_EQ(old_handler_ran, 2);
}

TEST_F(SignalsTest, ThereIsOneAtATime) {
  auto first = Signals::Catch();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Signals::Catch().status().code(), absl::StatusCode::kFailedPrecondition);
  ::raise(SIGINT);
  EXPECT_TRUE(IsReadable((*first)->fd())) << "the second one has changed nothing";
  first->reset();
  EXPECT_TRUE(Signals::Catch().ok());
}

}  // namespace
}  // namespace nearcall::rpc
