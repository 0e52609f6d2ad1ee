// SPDX-License-Identifier: Apache-2.0

// The end of a channel, or of its process, is that of its child.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/syscall.h"
#include "child.h"
#include "driven_server.h"
#include "exec_fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

using ExecEndTest = ExecTest;

TEST_F(ExecEndTest, TheChildEndsWithItsChannel) {
  auto channel = Start();
  const pid_t child = PidOf(channel);
  channel.reset();
  EXPECT_FALSE(Exists(child));
}

TEST_F(ExecEndTest, OneThatDoesNotEndByItselfIsEnded) {
  auto lingers = std::async(std::launch::async, [this] { return PidOf(Start({}, "linger")); });
  auto is_stubborn = std::async(std::launch::async, [this] { return PidOf(Start({}, "stubborn")); });
  EXPECT_FALSE(Exists(lingers.get()));
  EXPECT_FALSE(Exists(is_stubborn.get()));
}

TEST_F(ExecEndTest, AStoppedOneIsEnded) {
  auto channel = Start();
  const pid_t child = PidOf(channel);
  ::kill(child, SIGSTOP);
  channel.reset();
  EXPECT_FALSE(Exists(child));
}

// How the orphan ends, that is then a child of this process: the status of waitpid(2).
class ExecOrphanTest : public ExecTest {
 protected:
  ExecOrphanTest() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~ExecOrphanTest() override { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }

  // Kills a process that has a channel and has given its child this order, if it is not empty.
  int KillParent(const std::string& order) {
    Child parent([&](Link& test) {
      const auto channel = Channel::Connect("exec:" EXEC_SERVER);
      if (!channel.ok()) return;
      const pid_t child = PidOf(*channel);
      if (!order.empty()) Echo::AsyncStub(*channel).Say(MakeBlob(order), [](const absl::StatusOr<Blob>&) {});
      // The child reads in order.
      EXPECT_EQ(Answer(*channel, "hi"), "hi");
      test.Tell(absl::StrCat(child));
      test.Await();
    });
    const pid_t orphan = std::stoi(parent.link().Await());
    parent.Kill();
    int status = -1;
    EXPECT_EQ(base::Retry([&] { return ::waitpid(orphan, &status, 0); }), orphan);
    return status;
  }
};

TEST_F(ExecOrphanTest, AnOrphanEndsByItself) {
  const int status = KillParent("");
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(ExecOrphanTest, AnOrphanWhoseHandlerHangsEndsToo) {
  const int status = KillParent("hang");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
}

TEST_F(ExecEndTest, AForkedChildLeavesItsBrotherAlone) {
  if (!testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  auto channel = Start();
  const pid_t server = PidOf(channel);
  Child forked([&](Link&) {
    EXPECT_EQ(Ask(channel, "hi").status().code(), StatusCode::kFailedPrecondition);
    channel.reset();
  });
  EXPECT_EQ(forked.Join(), 0);
  EXPECT_EQ(PidOf(channel), server);
}

// With the user's event loop.
class ExecQueueTest : public ExecTest {
 protected:
  std::shared_ptr<Channel> StartQueued(EventQueue& queue, const std::string& mode) {
    ChannelOptions options;
    options.event_queue = &queue;
    return Start(options, mode);
  }
};

TEST_F(ExecQueueTest, AChannelThatEndsInTheQueueLeavesItsChildToIt) {
  EventQueue queue;
  auto channel = StartQueued(queue, "serve");
  Event ended;
  Echo::AsyncStub(channel).Say(MakeBlob("hi"), [&](const absl::StatusOr<Blob>& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    channel.reset();
    ended.Set();
  });
  const QueueThread loop(queue);
  ended.Wait();
  EXPECT_TRUE(Eventually([this] { return !HasChild(); }));
}

TEST_F(ExecQueueTest, TheQueuesEndIsTheChilds) {
  pid_t child = 0;
  {
    EventQueue queue;
    auto channel = StartQueued(queue, "stubborn");
    child = PidOf(channel);
    Echo::AsyncStub(channel).Say(MakeBlob("hi"), [&](const absl::StatusOr<Blob>&) { channel.reset(); });
    while (channel != nullptr) queue.Run(1);
    EXPECT_TRUE(Exists(child));
  }
  EXPECT_FALSE(Exists(child));
}

}  // namespace
}  // namespace nearcall::integration
