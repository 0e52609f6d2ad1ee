// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "support/sanitizers.h"

namespace nearcall::base {
namespace {

constexpr std::array kSynchronous = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF};

// The mask of a thread that this one makes.
sigset_t MaskOfThread() {
  sigset_t mask;
  Thread thread;
  EXPECT_TRUE(thread.Start("test", kOwnStack, [&] { ::pthread_sigmask(SIG_SETMASK, nullptr, &mask); }).ok());
  thread.Join();
  return mask;
}

size_t StackOfThread(size_t size) {
  size_t found = 0;
  Thread thread;
  const absl::Status started = thread.Start("test", size, [&] {
    pthread_attr_t attributes;
    ::pthread_getattr_np(::pthread_self(), &attributes);
    ::pthread_attr_getstacksize(&attributes, &found);
    ::pthread_attr_destroy(&attributes);
  });
  EXPECT_TRUE(started.ok()) << started;
  thread.Join();
  return found;
}

// Runs `body` in a child process, which a limit may be set for. It says what is wrong; empty: nothing.
template <typename Body>
std::string InAChild(Body body) {
  std::array<int, 2> ends;
  if (::pipe(ends.data()) != 0) return "pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string text = body();
    _exit(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::array<char, 1024> text;
  const ssize_t size = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) return "the child has ended badly";
  return std::string(text.data(), static_cast<size_t>(size));
}

TEST(ThreadTest, RunsItsMainOnceUnderItsName) {
  std::string name(16, '\0');
  int runs = 0;
  Thread thread;
  ASSERT_TRUE(thread
                  .Start("nearcall-test", kOwnStack,
                         [&] {
                           ++runs;
                           ::pthread_getname_np(::pthread_self(), name.data(), name.size());
                         })
                  .ok());
  thread.Join();
  EXPECT_EQ(runs, 1);
  EXPECT_STREQ(name.c_str(), "nearcall-test");
}

TEST(ThreadTest, IsNobodyUntilItIsStarted) {
  Thread thread;
  EXPECT_FALSE(thread.joinable());
  EXPECT_FALSE(thread.IsCurrent());
  ASSERT_TRUE(thread.Start("test", kOwnStack, [] {}).ok());
  EXPECT_TRUE(thread.joinable());
  EXPECT_FALSE(thread.IsCurrent());
  thread.Join();
  EXPECT_FALSE(thread.joinable());
}

TEST(ThreadTest, BlocksEverySignalThatDoesNotComeFromItself) {
  const sigset_t mask = MaskOfThread();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGIO, SIGRTMIN, SIGRTMAX}) {
    EXPECT_EQ(::sigismember(&mask, signal), 1) << signal;
  }
}

TEST(ThreadTest, TakesWhatItsOwnInstructionsRaise) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const sigset_t mask = MaskOfThread();
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, &before, &after);
  for (const int signal : kSynchronous) EXPECT_EQ(::sigismember(&mask, signal), 0) << signal;
  EXPECT_EQ(::sigismember(&after, SIGUSR1), 1) << "the maker's mask has changed";
}

TEST(ThreadTest, LeavesTheMakersMaskAsItWas) {
  sigset_t before;
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  MaskOfThread();
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(::sigismember(&before, SIGTERM), ::sigismember(&after, SIGTERM));
}

TEST(ThreadTest, ItsStackHasTheSizeThatWasAskedFor) {
  for (const size_t size : {kOwnStack, size_t{1} << 20}) {
    EXPECT_GE(StackOfThread(size), size);
    EXPECT_LE(StackOfThread(size), size + (size_t{64} << 10)) << "thread-local variables are small here";
  }
}

TEST(ThreadTest, WhoAsksForNoSizeGetsTheUsualOneButNeverMoreThanEightMebibytes) {
  EXPECT_EQ(Thread::StackFor(123456), 123456u);
  EXPECT_LE(Thread::StackFor(0), size_t{8} << 20);
  EXPECT_GE(Thread::StackFor(0), kMinStack);
}

TEST(ThreadTest, PthreadExitEndsIt) {
  Thread thread;
  ASSERT_TRUE(thread.Start("test", kOwnStack, [] { ::pthread_exit(nullptr); }).ok());
  thread.Join();
}

TEST(ThreadTest, WithoutMemoryToLockTheLimitOfThatIsNamed) {
  if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer's memory cannot be locked";
  EXPECT_EQ(InAChild([]() -> std::string {
              // Root is not subject to the limit.
              if (::geteuid() == 0 && ::setuid(65534) != 0) return "setuid";
              // The soft limit only: nothing that is mapped already is counted before mlockall().
              // (With room for what this process may still need.)
              const rlimit limit = {.rlim_cur = 4 << 20, .rlim_max = 4 << 20};
              if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "setrlimit";
              if (::mlockall(MCL_FUTURE) != 0) return "mlockall";
              Thread thread;
              // Larger than any stack that glibc has kept of a thread before.
              const absl::Status status = thread.Start("test", size_t{256} << 20, [] {});
              if (status.code() != absl::StatusCode::kResourceExhausted) return status.ToString();
              const std::string text(status.message());
              return text.find("RLIMIT_MEMLOCK") != std::string::npos && text.find("NPROC") == std::string::npos ? ""
                                                                                                                 : text;
            }),
            "");
}

TEST(ThreadTest, WithoutAnotherThreadToBeHadTheLimitOfThreadsIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become another user";
  if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer needs threads of its own";
  EXPECT_EQ(InAChild([]() -> std::string {
              if (::setuid(65533) != 0) return "setuid";
              const rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
              if (::setrlimit(RLIMIT_NPROC, &limit) != 0) return "setrlimit";
              Thread thread;
              const absl::Status status = thread.Start("test", kOwnStack, [] {});
              const std::string text(status.message());
              return text.find("RLIMIT_NPROC") != std::string::npos ? "" : status.ToString();
            }),
            "");
}

}  // namespace
}  // namespace nearcall::base
