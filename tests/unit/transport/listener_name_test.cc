// SPDX-License-Identifier: Apache-2.0

// What becomes of a server's name while it lives: cleaners of temporary files, somebody's hand, a hostile neighbour.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "absl/strings/match.h"
#include "base/clock.h"
#include "base/limits.h"
#include "fake_transport.h"
#include "process.h"
#include "support/refused_call.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/directory.h"
#include "transport/rendezvous/directory_lock.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::unique_ptr<Listener> Bind(const std::string& address) {
  auto listener = Listener::Bind(Parse(address));
  EXPECT_TRUE(listener.ok()) << listener.status();
  return *std::move(listener);
}

absl::Status BindError(const std::string& address) {
  return Listener::Bind(Parse(address)).status();
}

bool CanConnect(const std::string& path) {
  const base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const sockaddr_un address = SocketAddress(path);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

struct stat StatusOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

// News after an event, as a server looks for them.
std::optional<Listener::NameNews> NewsOf(Listener& listener) {
  EXPECT_TRUE(WaitReadable(listener.name_fd()));
  return listener.LookAfterName();
}

// --- a name that goes ---

TEST(ListenerNameTest, OneThatIsRemovedIsBoundAgain) {
  const NameDirectory names;
  for (const std::string& address : {std::string("echo"), names / "path"}) {
    const auto listener = Bind(address);
    ASSERT_EQ(::unlink(listener->name().c_str()), 0);
    const auto news = NewsOf(*listener);
    ASSERT_TRUE(news && news->successor != nullptr);
    EXPECT_THAT(news->text, HasSubstr(listener->name()));
    EXPECT_THAT(news->text, HasSubstr("it is bound again"));
    EXPECT_TRUE(CanConnect(listener->name()));
  }
  EXPECT_EQ(names.Entries().size(), 0u);
}

TEST(ListenerNameTest, WhileAnotherServerStartsItIsLookedAtAgainAndNobodyWaits) {
  const NameDirectory names;
  const auto listener = Bind("echo");
  const Directory directory = Directory::OpenPrivate(names.path(), Directory::IfMissing::kFail).value();
  {
    const auto starting = DirectoryLock::Acquire(directory, ".lock");
    ASSERT_EQ(::unlink((names / "echo").c_str()), 0);
    const base::SteadyNs began = base::NowNs();
    const auto news = NewsOf(*listener);
    EXPECT_TRUE(news && news->is_unsettled());
    EXPECT_LT(base::NowNs() - began, base::kBindLockTimeoutNs / 2);
    EXPECT_FALSE(CanConnect(names / "echo"));
  }
  const auto news = listener->LookAfterName();
  ASSERT_TRUE(news && news->successor != nullptr);
  EXPECT_TRUE(CanConnect(names / "echo"));
  EXPECT_FALSE(listener->LookAfterName());
}

TEST(ListenerNameTest, AlsoWhenItsDirectoryIsGoneToo) {
  const TemporaryDirectory parent;
  const ScopedEnv env("NEARCALL_DIR", (parent / "names").c_str());
  const auto listener = Bind("echo");
  std::filesystem::remove_all(parent / "names");
  const auto news = NewsOf(*listener);
  ASSERT_TRUE(news && news->successor != nullptr);
  EXPECT_TRUE(CanConnect(parent / "names/echo"));
}

TEST(ListenerNameTest, TheFormerSocketKeepsItsBacklogAndLeavesTheNewNameAlone) {
  const NameDirectory names;
  auto listener = Bind("echo");
  ASSERT_TRUE(CanConnect(names / "echo"));
  ASSERT_EQ(::unlink((names / "echo").c_str()), 0);
  const auto news = NewsOf(*listener);
  EXPECT_TRUE(base::Fd(::accept4(listener->fd(), nullptr, nullptr, SOCK_CLOEXEC)).valid());
  EXPECT_TRUE(listener->Unlink().ok());
  listener.reset();
  EXPECT_TRUE(CanConnect(names / "echo"));
}

TEST(ListenerNameTest, OneThatIsSomebodyElsesNowIsLeftAlone) {
  const NameDirectory names;
  auto listener = Bind("echo");
  std::ofstream(names / "file") << "text";
  ASSERT_EQ(::rename((names / "file").c_str(), (names / "echo").c_str()), 0);
  const auto news = NewsOf(*listener);
  ASSERT_TRUE(news && news->successor == nullptr);
  EXPECT_THAT(news->text, HasSubstr("somebody else's"));
  listener.reset();
  EXPECT_TRUE(std::filesystem::is_regular_file(names / "echo"));
}

TEST(ListenerNameTest, OneThatCannotBeBoundAgainIsNews) {
  const TemporaryDirectory parent;
  ASSERT_EQ(::mkdir((parent / "d").c_str(), 0700), 0);
  const auto listener = Bind(parent / "d/echo");
  std::filesystem::remove_all(parent / "d");
  const auto news = NewsOf(*listener);
  ASSERT_TRUE(news && news->successor == nullptr);
  EXPECT_THAT(news->text, HasSubstr("cannot be bound again"));
  EXPECT_THAT(news->text, HasSubstr("does not exist"));
}

TEST(ListenerNameTest, ThereIsNewsOnlyOnceAndNoneOfWhatTheServerDidItself) {
  const NameDirectory names;
  const auto listener = Bind("echo");
  EXPECT_FALSE(listener->LookAfterName());
  const auto other = Bind("other");
  EXPECT_FALSE(WaitReadable(listener->name_fd(), 0)) << "woken by a neighbour";
  ASSERT_EQ(::unlink((names / "echo").c_str()), 0);
  EXPECT_TRUE(NewsOf(*listener));
  EXPECT_FALSE(listener->LookAfterName());
  EXPECT_TRUE(other->Unlink().ok());
  EXPECT_FALSE(NewsOf(*other));
}

TEST(ListenerNameTest, WhereTheKernelHasNoWatchLeftThereIsAServerAllTheSame) {
  const NameDirectory names;
  Child server([] {
    nearcall::testing::RefuseSystemCalls({.number = SYS_inotify_init1, .argument = 1, .mask = 0, .value = 0}, EMFILE);
    const auto listener = Listener::Bind(Parse("echo"));
    return listener.ok() && (*listener)->name_fd() == -1 ? 0 : 1;
  });
  EXPECT_EQ(server.Wait(), 0);
}

// --- cleaners of temporary files ---

// As systemd-tmpfiles asks before it looks into a directory.
bool ACleanerMayEnter(const std::string& directory) {
  const base::Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
}

TEST(ListenerNameTest, CleanersStayOutWhileAServerLives) {
  const NameDirectory names;
  auto first = Bind("first");
  auto second = Bind("second");
  EXPECT_FALSE(ACleanerMayEnter(names.path()));
  first.reset();
  EXPECT_FALSE(ACleanerMayEnter(names.path()));
  second.reset();
  EXPECT_TRUE(ACleanerMayEnter(names.path()));
}

TEST(ListenerNameTest, ADirectoryOfEverybodysIsNotKeptFromThem) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 01777), 0);
  const auto listener = Bind(directory / "echo");
  EXPECT_TRUE(ACleanerMayEnter(directory.path()));
}

// Which cleaners spare, wherever it is.
TEST(ListenerNameTest, TheSocketHasTheStickyBit) {
  const NameDirectory names;
  const auto by_name = Bind("echo");
  const auto by_path = Bind(names / "path");
  EXPECT_EQ(StatusOf(names / "echo").st_mode & 07777, 01600u);
  EXPECT_EQ(StatusOf(names / "path").st_mode & 07777, 01666u);
}

// --- neighbours ---

// A name as a killed server leaves it.
void KillServerAt(const std::string& address) {
  Event bound;
  Child server([&] {
    const auto listener = Listener::Bind(Parse(address));
    bound.Set();
    return ::pause();
  });
  bound.Wait();
}

// As any program leaves one.
void LeaveForeignSocket(const std::string& path) {
  const base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = SocketAddress(path);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
}

TEST(ListenerNameTest, InAChosenDirectoryOnlyOurOwnDeadNamesAreSwept) {
  const NameDirectory names;
  KillServerAt("dead");
  LeaveForeignSocket(names / "foreign");
  const auto listener = Bind("echo");
  EXPECT_THAT(names.Entries(), UnorderedElementsAre("echo", "foreign"));
}

TEST(ListenerNameTest, InADirectoryOfOursAllDeadNamesAreSwept) {
  const TemporaryDirectory runtime;
  const ScopedEnv no_choice("NEARCALL_DIR", nullptr);
  const ScopedEnv env("XDG_RUNTIME_DIR", runtime.path().c_str());
  ASSERT_EQ(::mkdir((runtime / "nearcall").c_str(), 0700), 0);
  KillServerAt("dead");
  LeaveForeignSocket(runtime / "nearcall/.older.new");
  const auto listener = Bind("echo");
  EXPECT_FALSE(std::filesystem::exists(runtime / "nearcall/.older.new"));
  EXPECT_FALSE(std::filesystem::exists(runtime / "nearcall/dead"));
}

TEST(ListenerNameTest, ADirectoryInWhichOthersMayReplaceNamesIsRefused) {
  const TemporaryDirectory directory;
  for (const mode_t mode : {0777u, 0770u, 0702u}) {
    ASSERT_EQ(::chmod(directory.path().c_str(), mode), 0);
    const absl::Status error = BindError(directory / "echo");
    EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
    EXPECT_THAT(error.message(), HasSubstr(directory.path()));
    EXPECT_THAT(error.message(), HasSubstr("chmod"));
  }
  EXPECT_TRUE(directory.Entries().empty());
  ASSERT_EQ(::chmod(directory.path().c_str(), 01777), 0);
  EXPECT_TRUE(BindError(directory / "echo").ok());
}

constexpr nearcall::testing::SystemCalls kFchmodat2{.number = 452, .argument = 0, .mask = 0, .value = 0};

// Lets a process go on until it comes back from bind(2), and does something to its world before it may go on for good.
// False: this one may not be traced.
bool AfterBind(pid_t pid, const std::function<void()>& act) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFSTOPPED(status) || ::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD) != 0) return false;
  for (bool in_bind = false;;) {
    if (::ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr) != 0) return false;
    ::waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status)) return false;
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && in_bind) break;
    in_bind = info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_bind;
  }
  act();
  return ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr) == 0;
}

// The owner of a directory puts a link where the socket has just been bound: what it leads to keeps its mode.
TEST(ListenerNameTest, WhatReplacesTheSocketKeepsItsMode) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "victim") << "secret";
  ASSERT_EQ(::chmod((directory / "victim").c_str(), 0600), 0);
  Child server([&] {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::umask(0077);
    return absl::StrContains(BindError(directory / "echo").message(), "somebody has replaced") ? 0 : 1;
  });
  const std::string name = directory / ".echo.new";
  const bool traced = AfterBind(server.pid(), [&] {
    EXPECT_EQ(::unlink(name.c_str()), 0);
    EXPECT_EQ(::symlink("victim", name.c_str()), 0);
  });
  if (!traced) GTEST_SKIP() << "SKIPPED: a child cannot be traced here";
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_EQ(StatusOf(directory / "victim").st_mode & 07777, 0600u);
}

// Without that system call, as before Linux 6.6 and under some filters.
TEST(ListenerNameTest, TheModeIsRightOnAnOlderKernelToo) {
  const NameDirectory names;
  for (const int error : {ENOSYS, EPERM}) {
    Child server([&] {
      nearcall::testing::RefuseSystemCalls(kFchmodat2, error);
      ::umask(0777);
      const auto listener = Listener::Bind(Parse(names / "path"));
      return listener.ok() && (StatusOf(names / "path").st_mode & 0777) == 0666 ? 0 : 1;
    });
    EXPECT_EQ(server.Wait(), 0);
  }
}

constexpr uid_t kOtherUid = 12345;

TEST(ListenerNameTest, ALockFileOfAnotherUsersIsNotWaitedFor) {
  NEARCALL_TEST_NEEDS_ROOT();
  const TemporaryDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 01777), 0);
  Child other([&] {
    BecomeUser(kOtherUid);
    return base::Fd(::open((directory / ".echo.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)).valid() ? 0 : 1;
  });
  ASSERT_EQ(other.Wait(), 0);
  const absl::Status error = BindError(directory / "echo");
  EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr(".echo.lock"));
}

TEST(ListenerNameTest, AnUnfinishedSocketOfAnotherUsersIsNamed) {
  NEARCALL_TEST_NEEDS_ROOT();
  const TemporaryDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 01777), 0);
  LeaveForeignSocket(directory / ".echo.new");
  Child other([&] {
    BecomeUser(kOtherUid);
    const absl::Status error = BindError(directory / "echo");
    return absl::IsAlreadyExists(error) && absl::StrContains(error.message(), ".echo.new") ? 0 : 1;
  });
  EXPECT_EQ(other.Wait(), 0);
}

}  // namespace
}  // namespace nearcall::transport::testing
