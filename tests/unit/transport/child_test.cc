// SPDX-License-Identifier: Apache-2.0
#include "transport/child.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <future>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>

#include "process.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::Optional;

Program Script(const std::string& script) {
  return {.path = "/bin/sh", .argv = {"sh", "-c", script}};
}

StartedServer Started(const Program& program) {
  auto server = StartServer(program, nullptr);
  if (!server.ok()) throw std::runtime_error(server.status().ToString());
  return *std::move(server);
}

// How the script ends.
std::optional<std::string> FateOf(const std::string& script) {
  const StartedServer server = Started(Script(script));
  pollfd ended = {.fd = server.child->pidfd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ended, 1, 20'000), 1);
  return server.child->Fate();
}

void End(const StartedServer& server) {
  server.child->Dismiss(transport::Child::Ask::kByTerm);
  EXPECT_TRUE(server.child->WaitUntilEnded());
}

TEST(ChildTest, SaysHowItHasEnded) {
  EXPECT_THAT(FateOf("exit 0"), Optional(std::string("exited with status 0")));
  EXPECT_THAT(FateOf("exit 3"), Optional(std::string("exited with status 3")));
  EXPECT_THAT(FateOf("kill -KILL $$"), Optional(std::string("was killed by signal 9 (Killed)")));
  EXPECT_THAT(FateOf("ulimit -c 0; kill -SEGV $$"),
              Optional(std::string("was killed by signal 11 (Segmentation fault)")));
}

TEST(ChildTest, HasNoFateWhileItRuns) {
  const StartedServer server = Started({.path = "/bin/sleep", .argv = {"sleep", "1000"}});
  EXPECT_EQ(::kill(server.child->pid(), 0), 0);
  End(server);
}

TEST(ChildTest, TellsOfItsFateWhenItIsKnown) {
  std::promise<void> told;
  const StartedServer server = Started({.path = "/bin/sleep", .argv = {"sleep", "1000"}});
  ::kill(server.child->pid(), SIGKILL);
  server.child->AwaitFate([&] { told.set_value(); });
  told.get_future().wait();
  EXPECT_THAT(server.child->Fate(), Optional(std::string("was killed by signal 9 (Killed)")));
}

TEST(ChildTest, TellsThatItLivesOnAfterAWhile) {
  std::promise<void> told;
  const StartedServer server = Started({.path = "/bin/sleep", .argv = {"sleep", "1000"}});
  server.child->AwaitFate([&] { told.set_value(); });
  told.get_future().wait();
  EXPECT_EQ(server.child->Fate(), std::nullopt);
  End(server);
}

// From the start of this program on, so that nothing of the runtime's gets it. It goes with the program.
const bool third_is_taken = ::fcntl(3, F_GETFD) >= 0 || ::dup3(STDERR_FILENO, 3, O_CLOEXEC) == 3;

// In a process of its own, which does not put 3 back: whatever the runtime has got that number for may still be there.
TEST(ChildDeathTest, TheSocketHasItsNumberThough3IsFree) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ASSERT_TRUE(third_is_taken);
  const auto run_with_3_free = [] {
    ::close(3);
    const auto fate = FateOf("[ -S /proc/$$/fd/3 ] && [ \"$NEARCALL_FD\" = 3 ] && [ ! -e /proc/$$/fd/4 ]");
    std::cerr << fate.value_or("lives");
    ::_exit(0);
  };
  EXPECT_EXIT(run_with_3_free(), ::testing::ExitedWithCode(0), "exited with status 0");
}

TEST(ChildTest, ProgramsThatTheKernelWouldNotTakeAreRefused) {
  EXPECT_TRUE(CheckProgram({.path = "/bin/true", .argv = {"a", ""}, .env = {"A=", "B=b=c"}}).ok());
  for (const std::string& variable : {std::string("A"), std::string(""), std::string("=a"), std::string("A=\0", 3)}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckProgram({.path = "/bin/true", .env = {variable}}))) << variable;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(CheckProgram({.path = "/bin/true", .cwd = std::string("/\0", 2)})));
}

}  // namespace
}  // namespace nearcall::transport::testing
