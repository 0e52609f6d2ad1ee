// SPDX-License-Identifier: Apache-2.0

// Mode and group of the sockets that a server makes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "fake_transport.h"
#include "process.h"
#include "support/refused_call.h"
#include "transport/rendezvous.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::HasSubstr;

constexpr gid_t kGroup = 777;
constexpr uid_t kOtherUid = 12345;

struct stat StatusOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

mode_t ModeOf(const std::string& path) {
  return StatusOf(path).st_mode & 07777;
}

TEST(ListenerAccessTest, ModeIsWhatIsAskedForWhateverTheUmask) {
  const NameDirectory names;
  for (const mode_t mask : {0000u, 0777u}) {
    const ScopedUmask umask(mask);
    for (const mode_t mode : {0600u, 0640u, 0666u, 0777u}) {
      const auto by_name = Listener::Bind(Parse("echo"), {.mode = mode}).value();
      const auto by_path = Listener::Bind(Parse(names / "path"), {.mode = mode}).value();
      EXPECT_EQ(ModeOf(names / "echo"), 01000u | mode) << mask;
      EXPECT_EQ(ModeOf(names / "path"), 01000u | mode) << mask;
    }
  }
}

TEST(ListenerAccessTest, AGroupMeansItsMembersAndNobodyElse) {
  NEARCALL_TEST_NEEDS_ROOT();
  const NameDirectory names;
  const ScopedUmask umask(0777);
  const auto by_name = Listener::Bind(Parse("echo"), {.group = kGroup}).value();
  const auto by_path = Listener::Bind(Parse(names / "path"), {.group = kGroup}).value();
  const auto with_mode = Listener::Bind(Parse(names / "mode"), {.mode = 0606, .group = kGroup}).value();
  EXPECT_EQ(ModeOf(names / "echo"), 01660u);
  EXPECT_EQ(ModeOf(names / "path"), 01660u);
  EXPECT_EQ(ModeOf(names / "mode"), 01606u);
  for (const char* name : {"echo", "path", "mode"}) {
    EXPECT_EQ(StatusOf(names / name).st_gid, kGroup);
    EXPECT_EQ(StatusOf(names / name).st_uid, ::geteuid());
  }
}

// How the socket stands there when the server dies at its first call of `number`.
struct stat WhenItDiesAt(long number, const NameDirectory& names) {
  const ScopedUmask umask(0);
  Child server([number] {
    nearcall::testing::DieAtSystemCalls({.number = number, .argument = 0, .mask = 0, .value = 0});
    Listener::Bind(Parse("echo"), {.mode = 0666, .group = kGroup}).IgnoreError();
    return 0;
  });
  EXPECT_EQ(server.Wait(), 128 + SIGSYS);
  return StatusOf(names / ".echo.new");
}

TEST(ListenerAccessTest, OtherGroupsNeverHaveWhatOneIsToHave) {
  NEARCALL_TEST_NEEDS_ROOT();
  const NameDirectory names;
  EXPECT_EQ(WhenItDiesAt(SYS_fchownat, names).st_mode & 0777, 0600u);
}

TEST(ListenerAccessTest, NobodyCanConnectBeforeItHasItsGroup) {
  NEARCALL_TEST_NEEDS_ROOT();
  const NameDirectory names;
  const struct stat status = WhenItDiesAt(SYS_listen, names);
  EXPECT_EQ(status.st_mode & 0777, 0666u);
  EXPECT_EQ(status.st_gid, kGroup);
}

TEST(ListenerAccessTest, WhoIsNoMemberMayNotGiveItAway) {
  NEARCALL_TEST_NEEDS_ROOT();
  const TemporaryDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 01777), 0);
  Child server([&] {
    BecomeUser(kOtherUid);
    const absl::Status error = Listener::Bind(Parse(directory / "echo"), {.group = kGroup}).status();
    return absl::IsPermissionDenied(error) && absl::StrContains(error.message(), "ServerOptions::socket_group") ? 0 : 1;
  });
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_TRUE(directory.Entries().empty());
}

TEST(ListenerAccessTest, ANameThatIsBoundAgainHasTheSame) {
  NEARCALL_TEST_NEEDS_ROOT();
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo"), {.mode = 0620, .group = kGroup}).value();
  ASSERT_EQ(::unlink((names / "echo").c_str()), 0);
  ASSERT_TRUE(WaitReadable(listener->name_fd()));
  const auto news = listener->LookAfterName();
  ASSERT_TRUE(news.has_value() && news->successor != nullptr);
  EXPECT_EQ(ModeOf(names / "echo"), 01620u);
  EXPECT_EQ(StatusOf(names / "echo").st_gid, kGroup);
}

}  // namespace
}  // namespace nearcall::transport::testing
