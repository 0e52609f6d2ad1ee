// SPDX-License-Identifier: Apache-2.0

// A server that the channel starts: calls of every style, and what the program finds.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "co_service.h"
#include "exec_fixture.h"
#include "stream_service.h"
#include "support/scoped_env.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

std::string Spoken(const std::shared_ptr<Channel>& channel) {
  auto chat = Streams::Stub(channel).Chat({.timeout = kLong});
  Blob heard;
  EXPECT_TRUE(chat->Write(MakeBlob("word")) && chat->Read(&heard));
  EXPECT_TRUE(chat->Finish().ok());
  return heard.data();
}

std::string SaidByCallback(const std::shared_ptr<Channel>& channel) {
  std::promise<std::string> said;
  Echo::AsyncStub(channel).Say(MakeBlob("call"), [&](absl::StatusOr<Blob> reply) {
    said.set_value(reply.ok() ? reply->data() : reply.status().ToString());
  });
  return said.get_future().get();
}

Task<std::string> SaidByCoroutine(Echo::CoStub stub) {
  const Blob request = MakeBlob("task");
  auto call = stub.Say(request);
  absl::StatusOr<Blob> reply = co_await call;
  co_return reply.ok() ? reply->data() : reply.status().ToString();
}

void ExpectEachStyle(const std::shared_ptr<Channel>& channel) {
  EXPECT_EQ(Must(Echo::Stub(channel).Say(MakeBlob("hi"), {.timeout = kLong})).data(), "hi");
  EXPECT_EQ(SaidByCallback(channel), "call");
  EXPECT_EQ(SyncWait(SaidByCoroutine(Echo::CoStub(channel))), "task");
  EXPECT_EQ(Spoken(channel), "word");
}

TEST_F(ExecTest, EachStyleOfCallIsServedByTheChild) {
  const auto channel = Start();
  ExpectEachStyle(channel);
  EXPECT_EQ(channel->transport(), SocketTransportName()) << "as NEARCALL_TRANSPORT says";
}

TEST_F(ExecTest, AServerInAnEventQueueMayBeTheChild) {
  ExpectEachStyle(Start({}, "queue"));
}

TEST_F(ExecTest, WithoutAWishTheTransportIsTheBestOfTheChilds) {
  const testing::ScopedEnv none("NEARCALL_TRANSPORT", nullptr);
  const auto channel = Start();
  EXPECT_TRUE(Ask(channel, "hi").ok());
  EXPECT_EQ(channel->transport(), "shm");
}

TEST_F(ExecTest, TheFirstCallOfALazyChannelStartsTheChild) {
  const auto channel = Start({.lazy = true});
  EXPECT_EQ(channel->state(), ChannelState::kIdle);
  EXPECT_FALSE(HasChild());
  EXPECT_EQ(Answer(channel, "hi"), "hi");
  EXPECT_EQ(channel->state(), ChannelState::kReady);
}

TEST_F(ExecTest, TheChildHasWhatItIsGiven) {
  const testing::ScopedEnv kept("EXEC_TEST_KEPT", "kept");
  const testing::ScopedEnv replaced("EXEC_TEST_REPLACED", "old");
  ChannelOptions options;
  options.exec = {.argv = {"any name", "serve", "and more"},
                  .env = {"EXEC_TEST_REPLACED=new", "EXEC_TEST_ADDED=added=twice"},
                  .cwd = directory()};
  const auto channel = Start(options);
  EXPECT_EQ(Answer(channel, "arguments"), "any name|serve|and more|");
  EXPECT_EQ(Answer(channel, "environment EXEC_TEST_KEPT"), "kept");
  EXPECT_EQ(Answer(channel, "environment EXEC_TEST_REPLACED"), "new");
  EXPECT_EQ(Answer(channel, "environment EXEC_TEST_ADDED"), "added=twice");
  EXPECT_EQ(Answer(channel, "directory"), directory());
}

TEST_F(ExecTest, TheChildsEnvironmentMayBeItsOwn) {
  const testing::ScopedEnv mine("EXEC_TEST_MINE", "secret");
  ChannelOptions options;
  options.exec.inherit_env = false;
  EXPECT_EQ(Answer(Start(options), "environment EXEC_TEST_MINE"), "unset");
}

TEST_F(ExecTest, NoDescriptorOfThisProcessIsTheChilds) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);  // not closed on exec
  const base::Fd read(ends[0]);
  const base::Fd write(ends[1]);
  struct stat file;
  ASSERT_EQ(::fstat(read.get(), &file), 0);
  const std::string childs = Answer(Start(), "descriptors");
  EXPECT_THAT(childs, ::testing::HasSubstr("0 -> /dev/null\n"));
  EXPECT_THAT(childs, ::testing::HasSubstr("3 -> socket:"));
  EXPECT_THAT(childs, ::testing::Not(::testing::HasSubstr(absl::StrCat("pipe:[", file.st_ino, "]"))));
}

TEST_F(ExecTest, SignalsAreInTheChildAsAProgramExpectsThem) {
  struct sigaction before;
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  sigset_t user;
  sigset_t mask_before;
  ::sigemptyset(&user);
  ::sigaddset(&user, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &user, &mask_before);
  const absl::Cleanup undo = [&] {
    ::sigaction(SIGPIPE, &before, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  };
  const auto channel = Start();
  EXPECT_EQ(Answer(channel, "status SigBlk"), "SigBlk:\t0000000000000000");
  // Signal 32 is libc's own.
  EXPECT_THAT(Answer(channel, "status SigIgn"),
              ::testing::AnyOf("SigIgn:\t0000000000000000", "SigIgn:\t0000000080000000"));
  EXPECT_EQ(Answer(channel, "group"), Answer(channel, "pid")) << "Ctrl-C reaches it";
}

// The call's time is not the program's.
TEST_F(ExecTest, ACallThatCannotWaitDoesNotEndTheStartOfTheChild) {
  const std::string fifo = directory() + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto channel = Connect(With({"late", fifo}, {.lazy = true}), "exec:" EXEC_SERVER);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ask(channel, "hi", {.timeout = absl::Milliseconds(1)}).status().code(), StatusCode::kDeadlineExceeded);
  }
  const base::Fd go(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(Answer(channel, "hi"), "hi");
  EXPECT_THAT(channel->DebugString(), ::testing::HasSubstr("was started 1 time, pid"));
}

TEST_F(ExecTest, ManyCallersShareOneChild) {
  const auto channel = Start({.lazy = true});
  std::vector<std::future<std::string>> pids;
  for (int i = 0; i < 8; ++i) pids.push_back(std::async(std::launch::async, [&] { return Answer(channel, "pid"); }));
  const std::string first = pids.front().get();
  for (size_t i = 1; i < pids.size(); ++i) EXPECT_EQ(pids[i].get(), first);
}

}  // namespace
}  // namespace nearcall::integration
