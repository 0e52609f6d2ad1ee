// SPDX-License-Identifier: Apache-2.0

// Children that die, and the next one.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "exec_fixture.h"
#include "stream_service.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ExecDeathTest : public ExecTest {
 protected:
  static absl::Status Crash(const std::shared_ptr<Channel>& channel) { return Ask(channel, "crash").status(); }
};

TEST_F(ExecDeathTest, TheCallHearsOfWhatTheChildDied) {
  const auto channel = Start();
  const pid_t first = PidOf(channel);
  const absl::Status crash = Crash(channel);
  EXPECT_THAT(crash, FailsWith(StatusCode::kUnavailable, "was killed by signal 11 (Segmentation fault)"));
  EXPECT_THAT(crash.message(), ::testing::HasSubstr(absl::StrCat("exec:" EXEC_SERVER " (pid ", first)));
  EXPECT_EQ(ExecStateOf(crash), ExecState::kMaybeExecuted);
  EXPECT_NE(PidOf(channel), first) << "the next call has started another one";
  EXPECT_THAT(Ask(channel, "exit").status(), FailsWith(StatusCode::kUnavailable, "exited with status 3"));
  EXPECT_TRUE(Eventually([&] { return log.Has("was killed by signal 11"); }));
  EXPECT_TRUE(Eventually([&] { return log.Has("exited with status 3; the next call starts it again"); }));
}

TEST_F(ExecDeathTest, CallsOfEachStyleHearOfIt) {
  const auto channel = Start();
  auto chat = Streams::Stub(channel).Chat({.timeout = kLong});
  Blob heard;
  EXPECT_TRUE(chat->Write(MakeBlob("hi")) && chat->Read(&heard));
  std::promise<absl::Status> called;
  Echo::AsyncStub(channel).Say(MakeBlob("crash"),
                               [&](absl::StatusOr<Blob> reply) { called.set_value(reply.status()); });
  EXPECT_THAT(called.get_future().get(), FailsWith(StatusCode::kUnavailable, "killed by signal 11"));
  EXPECT_THAT(chat->Finish(), FailsWith(StatusCode::kUnavailable, "killed by signal 11"));
}

TEST_F(ExecDeathTest, AHundredTimesItIsBackAndNoZombieIsLeft) {
  const auto channel = Start([] {
    ChannelOptions options;
    options.exec.max_restarts_per_minute = 1000;
    return options;
  }());
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(Crash(channel), FailsWith(StatusCode::kUnavailable, "killed by signal 11")) << i;
    ASSERT_FALSE(HasChild()) << "a zombie";
    ASSERT_EQ(Answer(channel, "hi"), "hi") << i;
  }
  EXPECT_THAT(channel->DebugString(), ::testing::HasSubstr("was started 101 times"));
}

TEST_F(ExecDeathTest, AChildThatDiesWhileNobodyCallsIsWaitedForAtOnce) {
  const auto channel = Start({.lazy = false});
  const pid_t child = PidOf(channel);
  ::kill(child, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return !Exists(child); })) << "a zombie";
  EXPECT_TRUE(Eventually([&] { return channel->state() == ChannelState::kIdle; }));
  EXPECT_EQ(Answer(channel, "hi"), "hi");
}

// The kernel reaps them; nobody learns how they ended.
TEST_F(ExecDeathTest, AProgramThatIgnoresTheEndsOfItsChildrenIsServedAllTheSame) {
  struct sigaction before;
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &ignore, &before);
  const absl::Cleanup undo = [&] { ::sigaction(SIGCHLD, &before, nullptr); };
  const auto channel = Start();
  EXPECT_EQ(Answer(channel, "hi"), "hi");
  EXPECT_THAT(Crash(channel), FailsWith(StatusCode::kUnavailable, "has ended, and how is not known: SIGCHLD"));
  EXPECT_EQ(Answer(channel, "hi"), "hi");
}

TEST_F(ExecDeathTest, AProgramThatWaitsForAllChildrenDoesNoHarm) {
  std::atomic<bool> stop{false};
  std::thread greedy([&] {
    while (!stop) {
      if (::waitpid(-1, nullptr, WNOHANG) <= 0) std::this_thread::yield();
    }
  });
  {
    const auto channel = Start();
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(Crash(channel).code(), StatusCode::kUnavailable);
      EXPECT_EQ(Answer(channel, "hi"), "hi");
    }
  }
  stop = true;
  greedy.join();
}

TEST_F(ExecDeathTest, ItIsNotStartedMoreOftenThanItMayBe) {
  ChannelOptions options;
  options.exec.max_restarts_per_minute = 2;
  const auto channel = Start(options);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Answer(channel, "hi"), "hi");
    EXPECT_THAT(Crash(channel), FailsWith(StatusCode::kUnavailable, "killed by signal 11"));
  }
  const absl::Status refused = Ask(channel, "hi").status();
  EXPECT_THAT(refused, FailsWith(StatusCode::kUnavailable, "2 times within a minute"));
  EXPECT_THAT(refused, FailsWith(StatusCode::kUnavailable, "was killed by signal 11"));
  EXPECT_EQ(ExecStateOf(refused), ExecState::kNotSent);
  // A call that waits for a server waits for this one, too.
  EXPECT_EQ(Ask(channel, "hi", {.timeout = absl::Milliseconds(20), .wait_for_ready = true}).status().code(),
            StatusCode::kDeadlineExceeded);
}

TEST_F(ExecDeathTest, ItMayBeStartedOnceOnly) {
  ChannelOptions options;
  options.exec.max_restarts_per_minute = 0;
  const auto channel = Start(options);
  EXPECT_EQ(Crash(channel).code(), StatusCode::kUnavailable);
  EXPECT_THAT(Ask(channel, "hi").status(), FailsWith(StatusCode::kUnavailable, "is not started again"));
}

// Which keeps the socket open.
TEST_F(ExecDeathTest, AProcessThatTheChildLeavesBehindHidesNothing) {
  const auto channel = Start();
  const pid_t left = std::stoi(Answer(channel, "fork"));
  const absl::Cleanup end = [&] { ::kill(left, SIGKILL); };
  EXPECT_THAT(Crash(channel), FailsWith(StatusCode::kUnavailable, "killed by signal 11"));
  EXPECT_EQ(Answer(channel, "hi"), "hi");
}

TEST_F(ExecDeathTest, AChildThatHangsUpAndLivesOnIsEnded) {
  const auto channel = Start({}, "linger");
  const pid_t first = PidOf(channel);
  const absl::Status ended = Ask(channel, "hang up").status();
  EXPECT_TRUE(ended.ok() || absl::IsUnavailable(ended)) << ended;
  EXPECT_TRUE(Eventually([&] { return channel->state() != ChannelState::kReady; }));
  EXPECT_NE(PidOf(channel), first);
  EXPECT_TRUE(Eventually([&] { return !Exists(first); })) << "SIGTERM has not come";
}

}  // namespace
}  // namespace nearcall::integration
